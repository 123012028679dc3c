// L1. What every backend refuses before it evaluates a decomposition.
#pragma once

#include <cstddef>
#include <string_view>

#include "absl/status/statusor.h"

#include "models/backend.h"
#include "models/decomposition_spec.h"
#include "models/evaluation.h"

namespace spar::models {

inline constexpr size_t kMaxEvaluationRows = 65'536;
inline constexpr int kMaxEvaluationSamples = 16;
inline constexpr size_t kMaxSweepThresholds = 64;
inline constexpr size_t kMaxEvaluationSubsets = 16;
inline constexpr size_t kMaxAttackStepCounts = 16;

// kInvalidArgument with the field as EvaluateRequest of the wire names it, rows
// as "rows[3]": EMPTY_PROMPT, PROMPT_TOO_SHORT (of fewer than 2 tokens),
// PROMPT_TOO_LONG, TOKEN_OUT_OF_RANGE, OPTION_OUT_OF_RANGE; kNotFound
// DECOMPOSITION_NOT_FOUND. The index of the decomposition among the backend's.
absl::StatusOr<size_t> CheckEvaluation(const Backend& backend,
                                       const EvaluationRequest& request);

// The options alone. `spec`: of the decomposition that the request names.
absl::Status CheckEvaluationOptions(const DecompositionSpec& spec,
                                    const EvaluationRequest& request);

// PROMPT_TOO_SHORT, for a prompt or a row of fewer than 2 tokens.
absl::Status CheckHasNextToken(size_t num_tokens, std::string_view field);

}  // namespace spar::models
