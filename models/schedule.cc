#include "models/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace spar::models {

double ScheduledValue(const Schedule& schedule, int64_t step, int64_t steps) {
  const int64_t rise =
      static_cast<int64_t>(static_cast<double>(steps) * schedule.warmup);
  if (step < rise) {
    return schedule.rate * static_cast<double>(step) /
           static_cast<double>(rise);
  }
  const double way =
      static_cast<double>(step - rise) /
      static_cast<double>(std::max<int64_t>(steps - rise - 1, 1));
  const double final_share = schedule.final_share;
  switch (schedule.shape) {
    case RateShape::kConstant:
      break;
    case RateShape::kLinear:
      return schedule.rate * (final_share + (1 - final_share) * (1 - way));
    case RateShape::kCosine:
      return schedule.rate *
             (final_share +
              (1 - final_share) / 2 * (1 + std::cos(std::numbers::pi * way)));
  }
  return schedule.rate;
}

double AnnealedValue(const Anneal& anneal, int64_t step, int64_t steps) {
  if (!anneal.to.has_value() || anneal.begin >= 1) return anneal.from;
  const double done = static_cast<double>(step) / static_cast<double>(steps);
  if (done < anneal.begin) return anneal.from;
  if (done >= anneal.end) return *anneal.to;
  const double way = (done - anneal.begin) / (anneal.end - anneal.begin);
  return anneal.from + (*anneal.to - anneal.from) * way;
}

}  // namespace spar::models
