// L1t. What changes with the steps of a pruning.
#pragma once

#include <cstdint>

#include "models/prune.h"

namespace spar::models {

// Of step 0 to steps - 1. With w = floor(steps * warmup) it rises as step / w,
// then falls to final_share at the last step.
double LearningRate(const PruneRate& rate, int64_t step, int64_t steps);

// p of Note [The price of importance].
double NormPower(const PruneNorm& norm, int64_t step, int64_t steps);

// The first step at which p has come to its end.
int64_t AnnealedAt(const PruneNorm& norm, int64_t steps);

}  // namespace spar::models
