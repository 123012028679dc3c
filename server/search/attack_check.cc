// L3. The attack of a certificate, run again.
#include "server/search/attack_check.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status.h"

namespace spar::search {
namespace {

// Paths of sign steps part where a gradient is near 0, so two machines' attacks
// agree less closely than two margins do.
constexpr double kMarginShare = 0.02;

}  // namespace

AttackCheck::AttackCheck(const Certificate* certificate,
                         models::Row restriction,
                         std::vector<models::UnitId> free,
                         std::vector<Deletion> deletions)
    : certificate_(certificate),
      stated_(*certificate->attack),
      restriction_(std::move(restriction)),
      free_(std::move(free)),
      deletions_(std::move(deletions)),
      noise_(std::max(0.0, certificate->tau_acc - certificate->tau)) {}

void AttackCheck::Note(bool invalid, std::string text) {
  Finding finding;
  finding.invalid = invalid;
  finding.text = std::move(text);
  findings_.push_back(std::move(finding));
}

std::vector<float> AttackCheck::MasksWithout(const Deletion* deletion) const {
  const int num_units = restriction_.units.universe();
  std::vector<float> masks(static_cast<size_t>(num_units), 0.0f);
  for (const int32_t id : restriction_.units.Members()) masks[id] = 1.0f;
  if (deletion != nullptr && deletion->unit.has_value()) {
    masks[*deletion->unit] = 0.0f;
  }
  return masks;
}

Attack AttackCheck::AttackWithout(const Deletion* deletion) const {
  AttackSettings settings;
  settings.steps = stated_.steps;
  settings.step_size = stated_.step_size;
  settings.restarts = stated_.restarts;
  settings.seed = certificate_->seed;
  std::vector<models::UnitId> free = free_;
  if (deletion != nullptr && deletion->unit.has_value()) {
    free.insert(std::lower_bound(free.begin(), free.end(), *deletion->unit),
                *deletion->unit);
  }
  // A deletion is settled by the first point that breaks it beyond doubt.
  const double stop_at = deletion == nullptr
                             ? -std::numeric_limits<double>::infinity()
                             : certificate_->tau_acc - noise_;
  return Attack(settings, MasksWithout(deletion), std::move(free), stop_at);
}

models::GradientRow AttackCheck::RowAt(std::vector<float> masks,
                                       const Deletion* deletion) const {
  models::GradientRow row;
  row.prompt = restriction_.prompt;
  row.masks = std::move(masks);
  row.positions = restriction_.positions;
  if (deletion != nullptr && !deletion->unit.has_value()) {
    row.positions.Remove(deletion->position);
  }
  return row;
}

// One step of the attack under way; false once it is done.
absl::StatusOr<bool> AttackCheck::Advance(models::Backend& backend,
                                          const Deletion* deletion) {
  if (!attack_.has_value()) attack_.emplace(AttackWithout(deletion));
  std::vector<models::GradientRow> rows;
  for (const std::vector<float>& point : attack_->points()) {
    rows.push_back(RowAt(point, deletion));
  }
  ASSIGN_OR_RETURN(const std::vector<models::RowGradient> gradients,
                   backend.Gradients(rows));
  rows_ += static_cast<int64_t>(rows.size());
  attack_->Take(gradients);
  return !attack_->done();
}

// At the worst point of (S, T), without the item.
absl::StatusOr<double> AttackCheck::MarginAtWorst(models::Backend& backend,
                                                  const Deletion& deletion) {
  std::vector<float> masks = worst_->masks;
  if (deletion.unit.has_value()) masks[*deletion.unit] = 0.0f;
  const std::vector<models::GradientRow> rows(
      1, RowAt(std::move(masks), &deletion));
  ASSIGN_OR_RETURN(const std::vector<models::RowGradient> gradients,
                   backend.Gradients(rows));
  ++rows_;
  return double{gradients.front().margin};
}

void AttackCheck::NoteSet() {
  const double margin = worst_->margin;
  const double bar = certificate_->tau_acc;
  largest_difference_ = std::abs(stated_.margin - margin);
  const double allowed = kMarginShare * std::max(1.0, std::abs(margin));
  if (std::abs(margin - bar) <= noise_) {
    Note(false, base::Cat("(S, T) under the attack: the worst margin ", margin,
                          " is within the noise of the bar ", bar));
  } else if (margin <= bar) {
    Note(true, base::Cat("(S, T) does not hold against the attack: the worst "
                         "margin is ",
                         margin, ", the bar ", bar));
  }
  if (stated_.margin <= bar - noise_) {
    Note(true, base::Cat("the stated worst margin ", stated_.margin,
                         " does not pass the bar ", bar));
  }
  if (margin < stated_.margin - allowed) {
    Note(true, base::Cat("the attack finds a margin of ", margin,
                         ", lower than the stated ", stated_.margin));
  } else if (margin > stated_.margin + allowed) {
    Note(false, base::Cat("the attack finds no margin under ", margin,
                          " here; the certificate states ", stated_.margin));
  }
}

void AttackCheck::NoteDeletion(const Deletion& deletion, double lowest) {
  const double bar = certificate_->tau_acc;
  if (std::abs(lowest - bar) <= noise_) {
    Note(false, base::Cat(deletion.what, ": the worst margin ", lowest,
                          " is within the noise of the bar ", bar));
  } else if (lowest > bar) {
    Note(true, base::Cat(deletion.what,
                         " the set passes and holds against the attack: the "
                         "worst margin is ",
                         lowest));
  }
}

absl::StatusOr<bool> AttackCheck::Step(models::Backend& backend) {
  if (!worst_.has_value()) {
    ASSIGN_OR_RETURN(const bool more, Advance(backend, nullptr));
    if (more) return true;
    worst_ = attack_->worst();
    attack_.reset();
    NoteSet();
    return true;
  }
  if (next_ == deletions_.size()) return false;
  const Deletion& deletion = deletions_[next_];
  if (deletion.stated > certificate_->tau_acc + noise_) {
    Note(false, base::Cat(deletion.what,
                          " the set passes, and the certificate states no "
                          "point of the attack that breaks it"));
    ++next_;
    return true;
  }
  if (!attack_.has_value()) {
    ASSIGN_OR_RETURN(at_worst_, MarginAtWorst(backend, deletion));
    if (at_worst_ <= certificate_->tau_acc - noise_) {
      ++next_;
      return true;
    }
  }
  ASSIGN_OR_RETURN(const bool more, Advance(backend, &deletion));
  if (more) return true;
  NoteDeletion(deletion, std::min(at_worst_, attack_->worst().margin));
  attack_.reset();
  ++next_;
  return true;
}

}  // namespace spar::search
