#include "models/torch/prune/schedules.h"

#include <cmath>

namespace spar::models {

double NormPower(const PruneNorm& norm, int64_t step, int64_t steps) {
  return AnnealedValue({.from = norm.power,
                        .to = norm.final_power,
                        .begin = norm.anneal_begin,
                        .end = norm.anneal_end},
                       step, steps);
}

int64_t AnnealedAt(const PruneNorm& norm, int64_t steps) {
  if (!norm.final_power.has_value() || norm.anneal_begin >= 1) return 0;
  return static_cast<int64_t>(
      std::ceil(norm.anneal_end * static_cast<double>(steps)));
}

}  // namespace spar::models
