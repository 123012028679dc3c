// L1. What every backend refuses before it runs a row.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "models/backend.h"

namespace spar::models {

// For the first row that does not fit the model kInvalidArgument EMPTY_PROMPT,
// PROMPT_TOO_LONG, TOKEN_OUT_OF_RANGE, ROW_OUT_OF_RANGE (a set over another
// universe), READOUT_REMOVED or MASK_OUT_OF_RANGE; kFailedPrecondition
// NO_REFERENCE_PROMPTS for a mean reference without reference prompts. Fields
// are paths as "rows[3].prompt.tokens[7]".
// DECOMPOSITION_NOT_FOUND (kNotFound), DECOMPOSITION_NOT_WANTED (one named
// without its units) and TOO_MANY_UNITS are of the units' space.
absl::Status CheckRows(const Backend& backend, std::span<const Row> rows);
absl::Status CheckRows(const Backend& backend,
                       std::span<const GradientRow> rows);

// Nodes of one prompt, at most: a row is a bit each.
inline constexpr int64_t kMaxUnits = int64_t{1} << 26;

// The universe of the units of rows on `prompt`. Errors as CheckRows, with
// `field` before the name of the prompt's own.
absl::StatusOr<int> NumUnits(const Backend& backend,
                             const Prompt& prompt,
                             std::string_view field);

// What Backend::Importances refuses before it runs; the index of the
// decomposition among the backend's.
absl::StatusOr<size_t> CheckImportances(
    const Backend& backend,
    std::string_view decomposition,
    std::span<const std::vector<TokenId>> prompts,
    const ImportanceOptions& options);

// TOKEN_OUT_OF_RANGE; `field` is the token's path in the request.
absl::Status CheckToken(TokenId token, int vocab_size, std::string_view field);

// A non-empty prompt of the model's tokens, no longer than its context; `field`
// names it in errors.
absl::Status CheckTokens(const ModelInfo& info,
                         std::span<const TokenId> tokens,
                         std::string_view field);

// kNotFound DECOMPOSITION_NOT_FOUND when the backend lacks the one of this
// name. An empty name asks for none.
absl::Status CheckDecomposition(const Backend& backend, std::string_view name);

}  // namespace spar::models
