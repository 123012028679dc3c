// L3. Whether a question can be asked of a model: errors with field names.
#pragma once

#include <vector>

#include "absl/status/status.h"

#include "models/backend.h"
#include "server/search/explanation.h"

namespace spar::search {

// EMPTY_PROMPT, PROMPT_TOO_LONG, TOKEN_OUT_OF_RANGE.
absl::Status CheckTokens(const std::vector<models::TokenId>& tokens,
                         const models::ModelInfo& info);

// The above; OPTION_OUT_OF_RANGE; NO_REFERENCE_PROMPTS.
absl::Status CheckQuestion(const Question& question,
                           const models::ModelInfo& info,
                           bool has_reference_prompts);

}  // namespace spar::search
