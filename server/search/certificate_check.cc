// L3. The verdict on a certificate: docs/certificate.md, "Verdict".
#include "server/search/certificate_check.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status.h"

namespace spar::search {
namespace {

constexpr double kMarginTolerance = 1e-3;

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

int64_t CertificateCheck::step_cost() const {
  // Exact rows are float64 and dense: dearer than they look. A gradient costs
  // three rows.
  constexpr int64_t kExactRow = 8;
  if (attack_check_ == nullptr) return kExactRow;
  return 3 * int64_t{certificate_.attack->restarts};
}

absl::StatusOr<bool> CertificateCheck::Step(models::Backend& backend) {
  if (!begun_) Begin(backend);
  if (!finished_ && next_ == jobs_.size() && !shares_planned_) PlanShares();
  if (!finished_ && next_ < jobs_.size()) {
    const Job& job = jobs_[next_];
    ASSIGN_OR_RETURN(const double margin, backend.EvaluateExactly(RowOf(job)));
    ++verification_.rows;
    ++next_;
    Note(job, margin);
    return true;
  }
  if (!finished_ && certificate_.attack.has_value()) {
    if (attack_check_ == nullptr) PlanAttack();
    ASSIGN_OR_RETURN(const bool more, attack_check_->Step(backend));
    if (more) return true;
    NoteAttack();
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
  bool fits = CheckTokens(backend.info());
  if (same_model && fits) {
    num_model_units_ = backend.units().size();
    units_.emplace(backend.units(),
                   decomposition_ == nullptr ? nullptr : &decomposition_->spec,
                   certificate_.scheme, num_tokens());
    fits = CheckShape(backend.info());
  }
  if (!same_model || !fits) {
    Finish();
    return;
  }
  CheckUnits(units_->table());
  PlanMargins();
}

void CertificateCheck::Compare(std::string_view what,
                               double stated,
                               double margin) {
  const double difference = std::abs(stated - margin);
  verification_.largest_difference =
      std::max(verification_.largest_difference, difference);
  if (difference <= kMarginTolerance * std::max(1.0, std::abs(margin))) return;
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
      c.attack.has_value() ||
      (c.mode == Mode::kGrounded && (!unit || c.contrast_threshold > 0));
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
            base::Cat("control ", job.sample, ": the full model is undecided"));
      } else if (margin > 0) {
        Invalid(base::Cat("control ", job.sample,
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
    if (certificate_.attack.has_value()) return;  // which may refuse it
    Invalid(base::Cat(what, " is ", count / rows,
                      " and the margin passes: it is not needed"));
  } else if ((count + share.near) / rows >= threshold) {
    Borderline(base::Cat(what, " is ", count / rows, ", and ", share.near,
                         " rows are undecided: the threshold is ", threshold));
  }
}

void CertificateCheck::NoteAttack() {
  verification_.rows += attack_check_->rows();
  verification_.largest_difference = std::max(
      verification_.largest_difference, attack_check_->largest_difference());
  for (const AttackCheck::Finding& finding : attack_check_->findings()) {
    if (finding.invalid) {
      Invalid(finding.text);
    } else {
      Borderline(finding.text);
    }
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
