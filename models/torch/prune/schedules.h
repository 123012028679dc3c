// L1t. What changes with the steps of a pruning, beside its learning rate.
#pragma once

#include <cstdint>

#include "models/prune.h"

namespace spar::models {

// p of Note [The price of importance].
double NormPower(const PruneNorm& norm, int64_t step, int64_t steps);

// The first step at which p has come to its end.
int64_t AnnealedAt(const PruneNorm& norm, int64_t steps);

}  // namespace spar::models
