// L3. The verdict on a certificate: docs/certificate.md, "Verdict".
#include "server/search/certificate_check.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status.h"

namespace spar::search {
namespace {

constexpr double kTolerance = 1e-3;

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

absl::StatusOr<std::unique_ptr<CertificateCheck>> CertificateCheck::Make(
    std::string_view json) {
  ASSIGN_OR_RETURN(Certificate certificate, CertificateFromJson(json));
  return std::unique_ptr<CertificateCheck>(
      new CertificateCheck(std::move(certificate), CertificateDigest(json),
                           ComputedCertificateDigest(json)));
}

CertificateCheck::CertificateCheck(Certificate certificate,
                                   std::string stated_digest,
                                   std::string computed_digest)
    : certificate_(std::move(certificate)),
      stated_digest_(std::move(stated_digest)),
      computed_digest_(std::move(computed_digest)),
      noise_(std::max(0.0, certificate_.tau_acc - certificate_.tau)) {}

void CertificateCheck::Invalid(std::string finding) {
  invalid_ = true;
  verification_.findings.push_back(std::move(finding));
}

void CertificateCheck::Borderline(std::string finding) {
  borderline_ = true;
  verification_.findings.push_back(std::move(finding));
}

absl::StatusOr<bool> CertificateCheck::Step(models::Backend& backend) {
  if (!begun_) Begin(backend);
  if (!finished_ && next_ == jobs_.size() && !shares_planned_) PlanShares();
  if (!finished_ && next_ < jobs_.size()) {
    const Job& job = jobs_[next_];
    ASSIGN_OR_RETURN(const double margin, backend.EvaluateExactly(job.row));
    ++verification_.rows;
    ++next_;
    Note(job, margin);
    return true;
  }
  if (!finished_) Finish();
  return false;
}

void CertificateCheck::Begin(models::Backend& backend) {
  begun_ = true;
  if (computed_digest_ != stated_digest_) {
    Invalid(base::Cat("the stated digest is not that of the content: ",
                      computed_digest_));
  }
  const bool same_model = CheckIdentity(backend);
  const bool fits = CheckShape(backend);
  if (!same_model || !fits) {
    Finish();
    return;
  }
  CheckUnits(backend.units());
  num_model_units_ = backend.units().size();
  for (int id = 0; id < num_model_units_; ++id) {
    if (!backend.units().Contains(certificate_.scheme, id)) {
      outside_scheme_.push_back(id);
    }
  }
  PlanMargins();
}

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

void CertificateCheck::Compare(std::string_view what,
                               double stated,
                               double margin) {
  const double difference = std::abs(stated - margin);
  verification_.largest_difference =
      std::max(verification_.largest_difference, difference);
  if (difference <= kTolerance * std::max(1.0, std::abs(margin))) return;
  Invalid(
      base::Cat(what, ": the certificate states ", stated, ", it is ", margin));
}

void CertificateCheck::RequirePass(std::string_view what,
                                   double margin,
                                   double bar) {
  if (std::abs(margin - bar) <= noise_) {
    Borderline(base::Cat(what, ": the margin ", margin,
                         " is within the noise of the bar ", bar));
  } else if (margin <= bar) {
    Invalid(base::Cat(what, ": the margin ", margin, " does not pass the bar ",
                      bar));
  }
}

void CertificateCheck::NoteShare(Share& share, double margin) {
  ++share.rows;
  share.says += margin > 0;
  share.near += std::abs(margin) <= noise_;
}

void CertificateCheck::NoteDeletion(const Job& job, double margin) {
  const Certificate& c = certificate_;
  const bool unit = job.purpose == Purpose::kUnit;
  const std::string what =
      unit ? base::Cat("without ", c.unit_names[job.index])
           : base::Cat("without position ", free_positions_[job.index]);
  Compare(what,
          unit ? c.unit_deletion_margins[job.index]
               : c.position_deletion_margins[job.index],
          margin);
  if (std::abs(margin - c.required_margin) <= noise_) {
    Borderline(base::Cat(what, ": the margin ", margin,
                         " is within the noise of the bar ",
                         c.required_margin));
    return;
  }
  if (margin <= c.required_margin) return;
  const bool second_chance =
      c.mode == Mode::kGrounded && (!unit || c.contrast_threshold > 0);
  if (!second_chance) {
    Invalid(base::Cat(what, " the set still passes: ", margin));
  } else if (unit) {
    unit_passes_[job.index] = true;
  } else {
    position_passes_[job.index] = true;
  }
}

void CertificateCheck::Note(const Job& job, double margin) {
  const Certificate& c = certificate_;
  switch (job.purpose) {
    case Purpose::kSet:
      verification_.margin = margin;
      Compare("the margin of (S, T)", c.margin, margin);
      RequirePass("(S, T)", margin, c.required_margin);
      break;
    case Purpose::kFull:
      Compare("the margin of the full model", c.margin_full, margin);
      RequirePass("the full model", margin, c.tau_acc);
      break;
    case Purpose::kEmpty:
      Compare("the margin without units", c.margin_empty, margin);
      break;
    case Purpose::kUnit:
    case Purpose::kPosition:
      NoteDeletion(job, margin);
      break;
    case Purpose::kControl:
      if (std::abs(margin) <= noise_) {
        Borderline(
            base::Cat("control ", job.index, ": the full model is undecided"));
      } else if (margin > 0) {
        Invalid(base::Cat("control ", job.index,
                          ": the full model says the target there"));
      }
      break;
    case Purpose::kSetShare:
      NoteShare(set_share_, margin);
      break;
    case Purpose::kUnitShare:
      NoteShare(unit_shares_[job.index], margin);
      break;
    case Purpose::kSampleShare:
      NoteShare(sample_share_, margin);
      break;
    case Purpose::kPositionShare:
      NoteShare(position_shares_[job.index], margin);
      break;
  }
}

void CertificateCheck::RequireShare(std::string_view what,
                                    const Share& share,
                                    bool of_others,
                                    double threshold) {
  if (share.rows == 0) return;
  const int count = of_others ? share.rows - share.says : share.says;
  const double rows = share.rows;
  if ((count + share.near) / rows < threshold) {
    Invalid(base::Cat(what, " is ", count / rows, ", under ", threshold));
  } else if ((count - share.near) / rows < threshold) {
    Borderline(base::Cat(what, " is ", count / rows, ", and ", share.near,
                         " rows are undecided: the threshold is ", threshold));
  }
}

void CertificateCheck::RequireRefusedShare(std::string_view what,
                                           const Share& share,
                                           bool of_others,
                                           double threshold,
                                           double stated) {
  if (share.rows == 0) return;
  const int count = of_others ? share.rows - share.says : share.says;
  const double rows = share.rows;
  if (std::abs(stated - count / rows) > (share.near + 1e-6) / rows + 1e-9) {
    Invalid(base::Cat(what, ": the certificate states ", stated, ", it is ",
                      count / rows));
  }
  if ((count - share.near) / rows >= threshold) {
    Invalid(base::Cat(what, " is ", count / rows,
                      " and the margin passes: it is not needed"));
  } else if ((count + share.near) / rows >= threshold) {
    Borderline(base::Cat(what, " is ", count / rows, ", and ", share.near,
                         " rows are undecided: the threshold is ", threshold));
  }
}

void CertificateCheck::Finish() {
  finished_ = true;
  const Certificate& c = certificate_;
  RequireShare("the precision of T", sample_share_, false,
               c.precision_threshold);
  RequireShare("the contrast of (S, T)", set_share_, true,
               c.contrast_threshold);
  for (size_t i = 0; i < unit_shares_.size(); ++i) {
    RequireRefusedShare(
        base::Cat("the contrast without ", c.unit_names[i]), unit_shares_[i],
        true, c.contrast_threshold,
        c.unit_deletion_contrasts.empty() ? 0 : c.unit_deletion_contrasts[i]);
  }
  for (size_t i = 0; i < position_shares_.size(); ++i) {
    RequireRefusedShare(
        base::Cat("the precision without position ", free_positions_[i]),
        position_shares_[i], false, c.precision_threshold,
        c.position_deletion_precisions.empty()
            ? 0
            : c.position_deletion_precisions[i]);
  }
  verification_.verdict = invalid_ ? CertificateVerdict::kInvalid
                          : borderline_
                              ? CertificateVerdict::kValidWithBorderline
                              : CertificateVerdict::kValid;
}

absl::StatusOr<Verification> CheckCertificate(std::string_view json,
                                              models::Backend& backend) {
  ASSIGN_OR_RETURN(std::unique_ptr<CertificateCheck> check,
                   CertificateCheck::Make(json));
  while (true) {
    ASSIGN_OR_RETURN(const bool more, check->Step(backend));
    if (!more) return check->Result();
  }
}

}  // namespace spar::search
