// L3. Whether a certificate fits a model, and the rows that its check asks.
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status.h"
#include "server/search/certificate_check.h"

namespace spar::search {
namespace {

std::vector<int32_t> Omit(std::vector<int32_t> items, size_t index) {
  items.erase(items.begin() + static_cast<std::ptrdiff_t>(index));
  return items;
}

bool Ascends(const std::vector<int32_t>& items, int64_t universe) {
  int64_t last = -1;
  for (const int32_t item : items) {
    if (item <= last || item >= universe) return false;
    last = item;
  }
  return true;
}

}  // namespace

bool CertificateCheck::CheckIdentity(models::Backend& backend) {
  if (backend.info().digest != certificate_.model_digest) {
    Invalid(base::Cat("the certificate is of model ", certificate_.model_digest,
                      ", this is ", backend.info().digest));
    return false;
  }
  if (backend.info().weights_digest != certificate_.weights_digest ||
      backend.info().config_json != certificate_.config_json) {
    Invalid("the weights digest or the config is not this model's");
  }
  const absl::StatusOr<std::string> reference =
      backend.ReferenceDigest(certificate_.reference);
  if (!reference.ok()) {
    Invalid(base::Cat("the reference is not to be had: ",
                      base::MessageOf(reference.status())));
    return false;
  }
  if (*reference != certificate_.reference_digest) {
    Invalid(
        base::Cat("the reference digest is not this model's: ", *reference));
    return false;
  }
  if (certificate_.unit_numbering != models::kUnitNumberingVersion) {
    Invalid(base::Cat("unit numbering ", certificate_.unit_numbering,
                      " is not known here"));
    return false;
  }
  return true;
}

// Whether rows can be made of it at all.
bool CertificateCheck::CheckShape(const models::Backend& backend) {
  const Certificate& c = certificate_;
  const models::ModelInfo& info = backend.info();
  const int length = num_tokens();
  const auto token_fits = [&info](models::TokenId token) {
    return token >= 0 && token < info.vocab_size;
  };
  bool tokens_fit = token_fits(c.target) && length <= info.context_length &&
                    std::all_of(c.tokens.begin(), c.tokens.end(), token_fits);
  for (const auto& tokens : c.replacements) {
    tokens_fit = tokens_fit && static_cast<int>(tokens.size()) == length &&
                 std::all_of(tokens.begin(), tokens.end(), token_fits);
  }
  if (!tokens_fit) {
    Invalid("tokens do not fit the model or each other");
    return false;
  }
  if (!Ascends(c.units, backend.units().size()) ||
      !Ascends(c.positions, length) || c.positions.empty() ||
      c.positions.back() != length - 1 ||
      (c.pin_first && c.positions.front() != 0)) {
    Invalid(
        "units or positions are not ascending sets of this model and "
        "prompt, or lack a position that is never deleted");
    return false;
  }
  const int needed = length - c.positions.front();
  for (const auto& tokens : c.controls) {
    const int64_t control_length = static_cast<int64_t>(tokens.size());
    if (control_length < needed || control_length > info.context_length ||
        !std::all_of(tokens.begin(), tokens.end(), token_fits)) {
      Invalid("a control does not fit the model or the positions");
      return false;
    }
  }
  for (const int32_t position : c.positions) {
    if (position == length - 1 || (c.pin_first && position == 0)) continue;
    free_positions_.push_back(position);
  }
  const bool grounded = c.mode == Mode::kGrounded;
  const size_t seconds = grounded ? c.units.size() : 0;
  const size_t position_seconds = grounded ? free_positions_.size() : 0;
  if (c.unit_names.size() != c.units.size() ||
      c.unit_deletion_margins.size() != c.units.size() ||
      c.unit_deletion_contrasts.size() != seconds ||
      c.position_deletion_margins.size() != free_positions_.size() ||
      c.position_deletion_precisions.size() != position_seconds) {
    Invalid(
        "the certificate does not speak of every single deletion, or of "
        "more than there are");
    return false;
  }
  if (grounded && c.replacements.empty()) {
    Invalid("a GROUNDED certificate needs its replacements");
    return false;
  }
  if (grounded && c.contrast_threshold > 0 && c.controls.empty()) {
    Invalid("a contrast threshold needs controls");
    return false;
  }
  const bool bar_holds = grounded
                             ? c.required_margin >= c.tau_acc - 1e-9
                             : std::abs(c.required_margin - c.tau_acc) <= 1e-9;
  if (!bar_holds || c.tau_acc < c.tau || c.tau < 0) {
    Invalid("the thresholds contradict each other");
    return false;
  }
  return true;
}

void CertificateCheck::CheckUnits(const models::UnitTable& units) {
  const Certificate& c = certificate_;
  for (size_t i = 0; i < c.units.size(); ++i) {
    if (units.Name(c.units[i]) != c.unit_names[i]) {
      Invalid(base::Cat("unit ", c.units[i], " is ", units.Name(c.units[i]),
                        ", not ", c.unit_names[i]));
    }
    if (!units.Contains(c.scheme, c.units[i])) {
      Invalid(base::Cat("unit ", c.units[i], " is not of the scheme"));
    }
  }
  const int num_units = static_cast<int>(units.Members(c.scheme).size());
  if (num_units != c.num_units) {
    Invalid(
        base::Cat("the scheme has ", num_units, " units, not ", c.num_units));
  }
}

models::Row CertificateCheck::RowOf(
    const std::vector<int32_t>& units,
    const std::vector<int32_t>& positions) const {
  auto prompt = std::make_shared<models::Prompt>();
  prompt->tokens = certificate_.tokens;
  prompt->target = certificate_.target;
  prompt->reference = certificate_.reference;
  prompt->position_mode = certificate_.position_mode;
  models::Row row;
  row.prompt = std::move(prompt);
  row.units = models::IndexSet(num_model_units_, units);
  for (const int32_t id : outside_scheme_) row.units.Insert(id);
  row.positions = models::IndexSet(num_tokens(), positions);
  return row;
}

models::Row CertificateCheck::FullRow(
    const std::vector<models::TokenId>& tokens) const {
  models::Row row = RowOf({}, {});
  auto prompt = std::make_shared<models::Prompt>(*row.prompt);
  prompt->tokens = tokens;
  row.prompt = std::move(prompt);
  row.units = models::IndexSet::All(num_model_units_);
  row.positions = models::IndexSet::All(static_cast<int>(tokens.size()));
  return row;
}

void CertificateCheck::PlanMargins() {
  const Certificate& c = certificate_;
  const auto add = [this](Purpose purpose, size_t index, models::Row row) {
    Job job;
    job.purpose = purpose;
    job.index = static_cast<int>(index);
    job.row = std::move(row);
    jobs_.push_back(std::move(job));
  };
  add(Purpose::kSet, 0, RowOf(c.units, c.positions));
  add(Purpose::kFull, 0, FullRow(c.tokens));
  add(Purpose::kEmpty, 0, RowOf({}, c.positions));
  for (size_t i = 0; i < c.units.size(); ++i) {
    add(Purpose::kUnit, i, RowOf(Omit(c.units, i), c.positions));
  }
  for (size_t i = 0; i < free_positions_.size(); ++i) {
    std::vector<int32_t> positions = c.positions;
    std::erase(positions, free_positions_[i]);
    add(Purpose::kPosition, i, RowOf(c.units, positions));
  }
  for (size_t i = 0; i < c.controls.size(); ++i) {
    add(Purpose::kControl, i, FullRow(c.controls[i]));
  }
  unit_passes_.assign(c.units.size(), false);
  position_passes_.assign(free_positions_.size(), false);
  unit_shares_.resize(c.units.size());
  position_shares_.resize(free_positions_.size());
}

void CertificateCheck::AddSamples(Purpose purpose,
                                  int index,
                                  const std::vector<int32_t>& positions) {
  for (const auto& replacement : certificate_.replacements) {
    std::vector<models::TokenId> tokens = replacement;
    for (const int32_t position : positions) {
      tokens[position] = certificate_.tokens[position];
    }
    Job job;
    job.purpose = purpose;
    job.index = index;
    job.row = FullRow(tokens);
    jobs_.push_back(std::move(job));
  }
}

void CertificateCheck::AddControls(Purpose purpose,
                                   int index,
                                   const std::vector<int32_t>& units) {
  for (const auto& tokens : certificate_.controls) {
    Job job;
    job.purpose = purpose;
    job.index = index;
    job.row = FullRow(tokens);
    job.row.units = RowOf(units, {}).units;
    const int length = static_cast<int>(tokens.size());
    job.row.positions = models::IndexSet(length);
    for (const int32_t position : certificate_.positions) {
      job.row.positions.Insert(position + length - num_tokens());
    }
    jobs_.push_back(std::move(job));
  }
}

// Which shares matter is known once the margins are.
void CertificateCheck::PlanShares() {
  shares_planned_ = true;
  const Certificate& c = certificate_;
  if (c.mode != Mode::kGrounded) return;
  AddSamples(Purpose::kSampleShare, 0, c.positions);
  for (size_t i = 0; i < free_positions_.size(); ++i) {
    if (!position_passes_[i]) continue;
    std::vector<int32_t> positions = c.positions;
    std::erase(positions, free_positions_[i]);
    AddSamples(Purpose::kPositionShare, static_cast<int>(i), positions);
  }
  if (c.contrast_threshold <= 0) return;
  AddControls(Purpose::kSetShare, 0, c.units);
  for (size_t i = 0; i < c.units.size(); ++i) {
    if (!unit_passes_[i]) continue;
    AddControls(Purpose::kUnitShare, static_cast<int>(i), Omit(c.units, i));
  }
}

}  // namespace spar::search
