// L1. What every backend refuses before it ablates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "models/ablation.h"
#include "models/decomposition_spec.h"
#include "models/unit_table.h"

namespace spar::models {

inline constexpr int kMaxAblationSamples = 64;
inline constexpr int kMaxAdversarySteps = 1'000;
inline constexpr int kMaxAdversaryRestarts = 16;
inline constexpr int kMaxGeneratedTokens = 256;
inline constexpr int kMaxAblationTopK = 100;

// OPTION_OUT_OF_RANGE with a field of "adversary".
absl::Status CheckAdversarySteps(int steps, double step_size, int restarts);
inline constexpr int kMaxInterventions = 1 << 20;  // and as many swept
// Masks that the interventions of one run may change: positions counted.
inline constexpr int64_t kMaxMaskChanges = int64_t{1} << 21;

// How many `interventions` change in a prompt of `length`.
int64_t MaskChanges(const std::vector<Intervention>& interventions,
                    size_t length);

// kInvalidArgument with the field's path in the request: EMPTY_PROMPT,
// PROMPT_TOO_LONG (also of prompt and generation together),
// TOKEN_OUT_OF_RANGE, POSITION_OUT_OF_RANGE, UNKNOWN_PART (a site or index that
// is not there), NO_DECOMPOSITION (a strategy or part that needs one),
// OPTION_OUT_OF_RANGE. `decomposition` is the one that the request names, null
// for none.
absl::Status CheckAblation(const ModelInfo& info,
                           const UnitTable& units,
                           const DecompositionSpec* decomposition,
                           const AblationRequest& request);

// POSITION_OUT_OF_RANGE unless [0, length).
absl::Status CheckPosition(int32_t position,
                           size_t length,
                           std::string_view field);
// OPTION_OUT_OF_RANGE for a factor or offset beyond a million, or no number.
absl::Status CheckMask(double value, std::string_view field);

}  // namespace spar::models
