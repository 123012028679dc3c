// L1. What every backend refuses before it prunes.
#pragma once

#include "absl/status/status.h"

#include "models/backend.h"
#include "models/prune.h"

namespace spar::models {

inline constexpr int kMaxPrunePrompts = 256;
inline constexpr int kMaxPruneCoefficients = 64;
inline constexpr int kMaxPruneSteps = 20'000;

// kInvalidArgument with the field as PruneRequest of the wire names it
// ("prompts[2].position", of PruneOptions "norm.power"):
// EMPTY_PROMPT, PROMPT_TOO_LONG, TOKEN_OUT_OF_RANGE, POSITION_OUT_OF_RANGE,
// NO_DECOMPOSITION (none is named), OPTION_OUT_OF_RANGE.
absl::Status CheckPrune(const ModelInfo& info, const PruneRequest& request);

}  // namespace spar::models
