// L3. Projected sign-gradient descent on the masks of the units outside S:
// search.md §3.9. The arithmetic alone; docs/certificate.md, "The attack", is
// its contract.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "models/row.h"

namespace spar::search {

struct AttackSettings {
  int steps = 0;
  double step_size = 0.1;
  int restarts = 1;
  uint64_t seed = 0;
};

// The point with the lowest margin so far.
struct WorstPoint {
  double margin = std::numeric_limits<double>::infinity();  // the plain margin
  std::vector<float> masks = {};                            // [unit]
  std::vector<float> gradient = {};  // [unit], of the smooth margin
};

// One attack on one set. Restart 0 begins at the references (all masks 0), the
// others at uniform draws; each step moves every free mask by the step size
// against the sign of the gradient, and clips it to [0, 1]. The worst of all
// points on the way counts, so it never rises with more steps. What is
// differentiated is up to the caller:
//   while (!attack.done()) attack.Take(gradients at attack.points());
class Attack {
 public:
  // `masks`: [unit], 1 where they stay 1, and 0 on the `free` units. Ends
  // early, after the step that first reaches a margin of `stop_at` or less.
  Attack(const AttackSettings& settings,
         std::vector<float> masks,
         std::vector<models::UnitId> free,
         double stop_at = -std::numeric_limits<double>::infinity());

  bool done() const { return done_; }
  // [restart] One masks vector each. Without free units, one point in all.
  const std::vector<std::vector<float>>& points() const { return points_; }
  void Take(std::span<const models::RowGradient> gradients);

  const WorstPoint& worst() const { return worst_; }
  // [step] The lowest margin of all points up to this step.
  const std::vector<double>& worst_by_step() const { return worst_by_step_; }

 private:
  void Step(std::span<const models::RowGradient> gradients);

  const AttackSettings settings_;
  const std::vector<models::UnitId> free_;
  const double stop_at_;
  std::vector<std::vector<double>> exact_;  // [restart][index of free_]
  std::vector<std::vector<float>> points_;
  WorstPoint worst_;
  std::vector<double> worst_by_step_;
  bool done_ = false;
};

// The worst margin at 0, 1, 5, 20, 80, ... steps and at the last.
std::vector<std::pair<int, double>> AttackCurve(
    const std::vector<double>& worst_by_step);

}  // namespace spar::search
