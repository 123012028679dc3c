// L3. The steps of an attack.
#include "server/search/attack.h"

#include <algorithm>
#include <cmath>

#include "server/search/random.h"

namespace spar::search {
namespace {

double Sign(float number) {
  return number > 0 ? 1.0 : (number < 0 ? -1.0 : 0.0);
}

}  // namespace

Attack::Attack(const AttackSettings& settings,
               std::vector<float> masks,
               std::vector<models::UnitId> free,
               double stop_at)
    : settings_(settings), free_(std::move(free)), stop_at_(stop_at) {
  const int restarts = free_.empty() ? 1 : std::max(1, settings_.restarts);
  for (int restart = 0; restart < restarts; ++restart) {
    std::vector<double> exact(free_.size(), 0.0);
    if (restart > 0) {
      for (size_t i = 0; i < free_.size(); ++i) {
        exact[i] = RandomUnit(settings_.seed, Draw::kAttack,
                              static_cast<uint64_t>(restart),
                              static_cast<uint64_t>(free_[i]));
      }
    }
    std::vector<float> point = masks;
    for (size_t i = 0; i < free_.size(); ++i) {
      point[free_[i]] = static_cast<float>(exact[i]);
    }
    exact_.push_back(std::move(exact));
    points_.push_back(std::move(point));
  }
}

void Attack::Take(std::span<const models::RowGradient> gradients) {
  for (size_t r = 0; r < gradients.size(); ++r) {
    // What is not a number holds nothing.
    const double margin = std::isnan(gradients[r].margin)
                              ? -std::numeric_limits<double>::infinity()
                              : double{gradients[r].margin};
    if (margin >= worst_.margin) continue;
    worst_.margin = margin;
    worst_.masks = points_[r];
    worst_.gradient = gradients[r].gradient;
  }
  worst_by_step_.push_back(worst_.margin);
  const int steps_taken = static_cast<int>(worst_by_step_.size()) - 1;
  if (steps_taken >= settings_.steps || worst_.margin <= stop_at_) {
    done_ = true;
  } else if (free_.empty()) {  // nothing can move
    worst_by_step_.resize(static_cast<size_t>(settings_.steps) + 1,
                          worst_.margin);
    done_ = true;
  } else {
    Step(gradients);
  }
}

void Attack::Step(std::span<const models::RowGradient> gradients) {
  for (size_t r = 0; r < points_.size(); ++r) {
    for (size_t i = 0; i < free_.size(); ++i) {
      const double moved =
          exact_[r][i] -
          settings_.step_size * Sign(gradients[r].gradient[free_[i]]);
      exact_[r][i] = std::clamp(moved, 0.0, 1.0);
      points_[r][free_[i]] = static_cast<float>(exact_[r][i]);
    }
  }
}

std::vector<std::pair<int, double>> AttackCurve(
    const std::vector<double>& worst_by_step) {
  std::vector<std::pair<int, double>> curve;
  const int last = static_cast<int>(worst_by_step.size()) - 1;
  const auto add = [&](int steps) {
    curve.push_back(std::make_pair(steps, worst_by_step[steps]));
  };
  if (last < 0) return curve;
  if (last > 0) add(0);
  if (last > 1) add(1);
  for (int steps = 5; steps < last; steps *= 4) add(steps);
  add(last);
  return curve;
}

}  // namespace spar::search
