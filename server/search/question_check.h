// L3. Whether a question can be asked of a model: errors with field names.
#pragma once

#include <span>
#include <vector>

#include "absl/status/status.h"

#include "models/backend.h"
#include "server/search/explanation.h"

namespace spar::search {

// EMPTY_PROMPT, PROMPT_TOO_LONG, TOKEN_OUT_OF_RANGE.
absl::Status CheckTokens(const std::vector<models::TokenId>& tokens,
                         const models::ModelInfo& info);

// Units of a question's scheme that a search takes on: it holds a few numbers
// for each.
inline constexpr int64_t kMaxQuestionUnits = int64_t{1} << 21;

// The above; OPTION_OUT_OF_RANGE; NO_REFERENCE_PROMPTS; DECOMPOSITION_REQUIRED,
// DECOMPOSITION_NOT_WANTED, DECOMPOSITION_NOT_FOUND and TOO_MANY_UNITS of the
// scheme; BAD_INITIAL_UNIT. `units` are the model's heads and neurons.
absl::Status CheckQuestion(
    const Question& question,
    const models::ModelInfo& info,
    const models::UnitTable& units,
    std::span<const models::DecompositionInfo> decompositions,
    bool has_reference_prompts);

}  // namespace spar::search
