// L3. Whether a certificate fits a model, and the rows that its check asks.
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status.h"
#include "models/row_check.h"
#include "server/search/certificate_check.h"

namespace spar::search {
namespace {

std::vector<int32_t> Omit(std::vector<int32_t> items, int32_t item) {
  std::erase(items, item);
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
  return CheckDecomposition(backend);
}

bool CertificateCheck::CheckDecomposition(const models::Backend& backend) {
  const models::UnitSpace space = models::SpaceOf(certificate_.scheme);
  if (space == models::UnitSpace::kHeadsAndNeurons) return true;
  for (const models::DecompositionInfo& info : backend.decompositions()) {
    if (info.digest == certificate_.decomposition_digest) {
      decomposition_ = &info;
    }
  }
  if (decomposition_ == nullptr) {
    Invalid(base::Cat("the certificate is of decomposition ",
                      certificate_.decomposition_digest,
                      ", which is not loaded here"));
    return false;
  }
  if (models::CountUnits(decomposition_->spec, space, num_tokens()) <=
      models::kMaxUnits) {
    return true;
  }
  Invalid("the prompt has more nodes than can be checked");
  return false;
}

bool CertificateCheck::CheckTokens(const models::ModelInfo& info) {
  const Certificate& c = certificate_;
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
  }
  return tokens_fit;
}

// Whether rows can be made of it at all.
bool CertificateCheck::CheckShape(const models::ModelInfo& info) {
  const Certificate& c = certificate_;
  const int length = num_tokens();
  if (!Ascends(c.units, units_->size()) || !Ascends(c.positions, length) ||
      c.positions.empty() || c.positions.back() != length - 1 ||
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
        !units_->Fits(static_cast<int>(control_length)) ||
        !std::all_of(tokens.begin(), tokens.end(),
                     [&info](models::TokenId token) {
                       return token >= 0 && token < info.vocab_size;
                     })) {
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
  if (!CheckAttackShape()) return false;
  const bool bar_holds = grounded
                             ? c.required_margin >= c.tau_acc - 1e-9
                             : std::abs(c.required_margin - c.tau_acc) <= 1e-9;
  if (!bar_holds || c.tau_acc < c.tau || c.tau < 0) {
    Invalid("the thresholds contradict each other");
    return false;
  }
  return true;
}

bool CertificateCheck::CheckAttackShape() {
  const Certificate& c = certificate_;
  if (!c.attack.has_value()) return true;
  const CertifiedAttack& attack = *c.attack;
  if (attack.steps < 1 || attack.steps > kMaxAttackSteps ||
      attack.restarts < 1 || attack.restarts > kMaxAttackRestarts ||
      !(attack.step_size > 0 && attack.step_size <= 1)) {
    Invalid("the attack's steps, step size or restarts are out of range");
    return false;
  }
  if (attack.unit_deletion_margins.size() != c.units.size() ||
      attack.position_deletion_margins.size() != free_positions_.size()) {
    Invalid("the attack does not speak of every single deletion exactly");
    return false;
  }
  return true;
}

void CertificateCheck::CheckUnits(const models::UnitTable& table) {
  const Certificate& c = certificate_;
  for (size_t i = 0; i < c.units.size(); ++i) {
    if (table.Name(c.units[i]) != c.unit_names[i]) {
      Invalid(base::Cat("unit ", c.units[i], " is ", table.Name(c.units[i]),
                        ", not ", c.unit_names[i]));
    }
    if (!table.Contains(c.scheme, c.units[i])) {
      Invalid(base::Cat("unit ", c.units[i], " is not of the scheme"));
    }
  }
  const int num_units = table.CountMembers(c.scheme);
  if (num_units != c.num_units) {
    Invalid(
        base::Cat("the scheme has ", num_units, " units, not ", c.num_units));
  }
}

models::Row CertificateCheck::RestrictedRow(
    const std::vector<models::TokenId>& tokens,
    const models::IndexSet& units,
    const std::vector<int32_t>& positions) const {
  auto prompt = std::make_shared<models::Prompt>();
  prompt->tokens = tokens;
  prompt->target = certificate_.target;
  prompt->reference = certificate_.reference;
  prompt->position_mode = certificate_.position_mode;
  prompt->space = units_->space();
  if (decomposition_ != nullptr) prompt->decomposition = decomposition_->name;
  const int length = static_cast<int>(tokens.size());
  models::Row row;
  row.prompt = std::move(prompt);
  row.units = units_->RowUnitsOn(length, units);
  row.positions = models::IndexSet(length);
  for (const int32_t position : positions) {
    row.positions.Insert(position + length - num_tokens());
  }
  return row;
}

models::Row CertificateCheck::FullRow(
    const std::vector<models::TokenId>& tokens) const {
  auto prompt = std::make_shared<models::Prompt>();
  prompt->tokens = tokens;
  prompt->target = certificate_.target;
  models::Row row;
  row.prompt = std::move(prompt);
  row.units = models::IndexSet::All(num_model_units_);
  row.positions = models::IndexSet::All(static_cast<int>(tokens.size()));
  return row;
}

models::Row CertificateCheck::RowOf(const Job& job) const {
  const Certificate& c = certificate_;
  models::IndexSet units(units_->size(), c.units);
  std::vector<int32_t> positions = c.positions;
  if (job.purpose == Purpose::kUnit || job.purpose == Purpose::kUnitShare) {
    units.Remove(c.units[job.index]);
  }
  if (job.purpose == Purpose::kPosition ||
      job.purpose == Purpose::kPositionShare) {
    positions = Omit(std::move(positions), free_positions_[job.index]);
  }
  switch (job.purpose) {
    case Purpose::kEmpty:
      return RestrictedRow(c.tokens, models::IndexSet(units_->size()),
                           positions);
    case Purpose::kFull:
      return FullRow(c.tokens);
    case Purpose::kControl:
      return FullRow(c.controls[job.sample]);
    case Purpose::kSetShare:
    case Purpose::kUnitShare:
      return RestrictedRow(c.controls[job.sample], units, positions);
    case Purpose::kSampleShare:
    case Purpose::kPositionShare: {
      std::vector<models::TokenId> tokens = c.replacements[job.sample];
      for (const int32_t position : positions) {
        tokens[position] = c.tokens[position];
      }
      return FullRow(tokens);
    }
    case Purpose::kSet:
    case Purpose::kUnit:
    case Purpose::kPosition:
      break;
  }
  return RestrictedRow(c.tokens, units, positions);
}

void CertificateCheck::PlanMargins() {
  const Certificate& c = certificate_;
  jobs_.push_back({Purpose::kSet, 0, 0});
  jobs_.push_back({Purpose::kFull, 0, 0});
  jobs_.push_back({Purpose::kEmpty, 0, 0});
  for (size_t i = 0; i < c.units.size(); ++i) {
    jobs_.push_back({Purpose::kUnit, static_cast<int>(i), 0});
  }
  for (size_t i = 0; i < free_positions_.size(); ++i) {
    jobs_.push_back({Purpose::kPosition, static_cast<int>(i), 0});
  }
  for (size_t i = 0; i < c.controls.size(); ++i) {
    jobs_.push_back({Purpose::kControl, 0, static_cast<int>(i)});
  }
  unit_passes_.assign(c.units.size(), false);
  position_passes_.assign(free_positions_.size(), false);
  unit_shares_.resize(c.units.size());
  position_shares_.resize(free_positions_.size());
}

void CertificateCheck::AddShare(Purpose purpose, size_t index) {
  const bool controls =
      purpose == Purpose::kSetShare || purpose == Purpose::kUnitShare;
  const size_t count = controls ? certificate_.controls.size()
                                : certificate_.replacements.size();
  for (size_t i = 0; i < count; ++i) {
    jobs_.push_back({purpose, static_cast<int>(index), static_cast<int>(i)});
  }
}

// Of the deletions that pass, those that their share does not refuse.
void CertificateCheck::PlanAttack() {
  const Certificate& c = certificate_;
  const auto refuses = [](const Share& share, bool of_others,
                          double threshold) {
    const int count = of_others ? share.rows - share.says : share.says;
    return share.rows > 0 && count - share.near < threshold * share.rows;
  };
  std::vector<AttackCheck::Deletion> deletions;
  for (size_t i = 0; i < c.units.size(); ++i) {
    if (!unit_passes_[i] ||
        refuses(unit_shares_[i], true, c.contrast_threshold)) {
      continue;
    }
    AttackCheck::Deletion deletion;
    deletion.what = base::Cat("without ", c.unit_names[i]);
    deletion.stated = c.attack->unit_deletion_margins[i];
    deletion.unit = c.units[i];
    deletions.push_back(std::move(deletion));
  }
  for (size_t i = 0; i < free_positions_.size(); ++i) {
    if (!position_passes_[i] ||
        refuses(position_shares_[i], false, c.precision_threshold)) {
      continue;
    }
    AttackCheck::Deletion deletion;
    deletion.what = base::Cat("without position ", free_positions_[i]);
    deletion.stated = c.attack->position_deletion_margins[i];
    deletion.position = free_positions_[i];
    deletions.push_back(std::move(deletion));
  }
  models::Row row = RowOf({Purpose::kSet, 0, 0});
  std::vector<models::UnitId> free;
  for (const models::UnitId id :
       units_->Live(models::IndexSet::All(num_tokens()))) {
    if (!row.units.Contains(id)) free.push_back(id);
  }
  attack_check_ = std::make_unique<AttackCheck>(
      &certificate_, std::move(row), std::move(free), std::move(deletions));
}

// Which shares matter is known once the margins are.
void CertificateCheck::PlanShares() {
  shares_planned_ = true;
  if (certificate_.mode != Mode::kGrounded) return;
  AddShare(Purpose::kSampleShare, 0);
  for (size_t i = 0; i < free_positions_.size(); ++i) {
    if (position_passes_[i]) AddShare(Purpose::kPositionShare, i);
  }
  if (certificate_.contrast_threshold <= 0) return;
  AddShare(Purpose::kSetShare, 0);
  for (size_t i = 0; i < unit_passes_.size(); ++i) {
    if (unit_passes_[i]) AddShare(Purpose::kUnitShare, i);
  }
}

}  // namespace spar::search
