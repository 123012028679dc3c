// L3. The check of a certificate's attack: docs/certificate.md, "Verdict",
// step 10. Runs the attack again, one batch of restarts at a time.
//
// Points have real masks, so their margins and directions come from
// Backend::Gradients, not from the exact rows that the rest of the check uses.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "models/backend.h"
#include "server/search/attack.h"
#include "server/search/explanation.h"

namespace spar::search {

// Not thread-safe.
class AttackCheck {
 public:
  // A single deletion that neither the margin nor the second number refuses.
  struct Deletion {
    std::string what = {};        // for findings
    double stated = 0;            // the lowest margin found
    std::optional<int32_t> unit;  // either this
    int32_t position = 0;         // or this
  };
  struct Finding {
    bool invalid = false;  // else borderline
    std::string text = {};
  };

  // The certificate has an attack and outlives the check. `restriction` is its
  // (S, T) as a row, with the units outside the scheme on; `free` the units of
  // the scheme outside S, ascending.
  AttackCheck(const Certificate* certificate,
              models::Row restriction,
              std::vector<models::UnitId> free,
              std::vector<Deletion> deletions);

  // One batch. True: there is more to do.
  absl::StatusOr<bool> Step(models::Backend& backend);

  const std::vector<Finding>& findings() const { return findings_; }
  int64_t rows() const { return rows_; }
  double largest_difference() const { return largest_difference_; }

 private:
  models::GradientRow RowAt(std::vector<float> masks,
                            const Deletion* deletion) const;
  std::vector<float> MasksWithout(const Deletion* deletion) const;
  Attack AttackWithout(const Deletion* deletion) const;
  absl::StatusOr<bool> Advance(models::Backend& backend,
                               const Deletion* deletion);
  absl::StatusOr<double> MarginAtWorst(models::Backend& backend,
                                       const Deletion& deletion);
  void NoteSet();
  void NoteDeletion(const Deletion& deletion, double lowest);
  void Note(bool invalid, std::string text);

  const Certificate* const certificate_;
  const CertifiedAttack& stated_;
  const models::Row restriction_;
  const std::vector<models::UnitId> free_;
  const std::vector<Deletion> deletions_;
  const double noise_;

  std::optional<Attack> attack_;     // under way
  std::optional<WorstPoint> worst_;  // of (S, T), once its attack is done
  double at_worst_ = 0;              // of the deletion that is under attack
  size_t next_ = 0;                  // deletion
  std::vector<Finding> findings_;
  int64_t rows_ = 0;
  double largest_difference_ = 0;
};

}  // namespace spar::search
