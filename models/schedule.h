// L1. Numbers that change with the steps of an optimisation.
#pragma once

#include <cstdint>
#include <optional>

namespace spar::models {

enum class RateShape { kConstant, kLinear, kCosine };

// The value rises linearly from 0 for a share of the steps, then stays or falls
// to a share of itself.
struct Schedule {
  double rate = 0.01;
  RateShape shape = RateShape::kConstant;
  double final_share = 0;
  double warmup = 0;  // share of the steps

  friend bool operator==(const Schedule&, const Schedule&) = default;
};

// Of step 0 to steps - 1. With w = floor(steps * warmup) it rises as step / w,
// then falls to final_share at the last step.
double ScheduledValue(const Schedule& schedule, int64_t step, int64_t steps);

// A number that moves from one value to another linearly between two shares of
// the steps.
struct Anneal {
  double from = 0;
  std::optional<double> to = {};  // absent: `from` throughout
  double begin = 0;  // in [0, 1], at most end; 1: `from` throughout
  double end = 1;

  friend bool operator==(const Anneal&, const Anneal&) = default;
};

double AnnealedValue(const Anneal& anneal, int64_t step, int64_t steps);

}  // namespace spar::models
