// L1, tokenizers. What becomes of the matches when a text is cut at a pattern.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "models/text/pattern.h"
#include "models/text/pre_tokenizer.h"

namespace spar::models::text {

enum class SplitBehavior {
  kRemoved,             // matches vanish
  kIsolated,            // every match is a piece
  kMergedWithPrevious,  // a match ends the piece before it
  kMergedWithNext,      // a match starts the piece after it
  kContiguous,          // neighbouring matches are one piece
};

// "Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous".
std::optional<SplitBehavior> SplitBehaviorNamed(std::string_view name);

// Cuts every piece of `pieces`. `invert` exchanges matches and what is between.
absl::Status SplitPieces(const Pattern& pattern,
                         SplitBehavior behavior,
                         bool invert,
                         std::vector<Piece>* pieces);

}  // namespace spar::models::text
