#include "models/torch/prune/schedules.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace spar::models {

double LearningRate(const PruneRate& rate, int64_t step, int64_t steps) {
  const int64_t rise =
      static_cast<int64_t>(static_cast<double>(steps) * rate.warmup);
  if (step < rise) {
    return rate.rate * static_cast<double>(step) / static_cast<double>(rise);
  }
  const double way =
      static_cast<double>(step - rise) /
      static_cast<double>(std::max<int64_t>(steps - rise - 1, 1));
  const double final_share = rate.final_share;
  switch (rate.shape) {
    case RateShape::kConstant:
      break;
    case RateShape::kLinear:
      return rate.rate * (final_share + (1 - final_share) * (1 - way));
    case RateShape::kCosine:
      return rate.rate *
             (final_share +
              (1 - final_share) / 2 * (1 + std::cos(std::numbers::pi * way)));
  }
  return rate.rate;
}

double NormPower(const PruneNorm& norm, int64_t step, int64_t steps) {
  if (!norm.final_power.has_value() || norm.anneal_begin >= 1) {
    return norm.power;
  }
  const double done = static_cast<double>(step) / static_cast<double>(steps);
  if (done < norm.anneal_begin) return norm.power;
  if (done >= norm.anneal_end) return *norm.final_power;
  const double way =
      (done - norm.anneal_begin) / (norm.anneal_end - norm.anneal_begin);
  return norm.power + (*norm.final_power - norm.power) * way;
}

int64_t AnnealedAt(const PruneNorm& norm, int64_t steps) {
  if (!norm.final_power.has_value() || norm.anneal_begin >= 1) return 0;
  return static_cast<int64_t>(
      std::ceil(norm.anneal_end * static_cast<double>(steps)));
}

}  // namespace spar::models
