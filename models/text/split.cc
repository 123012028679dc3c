// L1, tokenizers. What becomes of the matches when a text is cut at a pattern.
#include "models/text/split.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/status.h"

namespace spar::models::text {
namespace {

// Joins each match that follows a stretch (in the order of `spans`) to it.
std::vector<Span> JoinToNeighbour(const std::vector<Span>& spans) {
  std::vector<Span> joined;
  bool previous_match = false;
  for (const Span& span : spans) {
    if (span.match && !previous_match && !joined.empty()) {
      joined.back().begin = std::min(joined.back().begin, span.begin);
      joined.back().end = std::max(joined.back().end, span.end);
    } else {
      joined.push_back(span);
    }
    previous_match = span.match;
  }
  return joined;
}

std::vector<Span> JoinAlike(const std::vector<Span>& spans) {
  std::vector<Span> joined;
  for (const Span& span : spans) {
    if (!joined.empty() && joined.back().match == span.match) {
      joined.back().end = span.end;
    } else {
      joined.push_back(span);
    }
  }
  return joined;
}

std::vector<Span> Arrange(std::vector<Span> spans, SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::kRemoved:
      spans.erase(std::remove_if(spans.begin(), spans.end(),
                                 [](const Span& span) { return span.match; }),
                  spans.end());
      return spans;
    case SplitBehavior::kIsolated:
      return spans;
    case SplitBehavior::kMergedWithPrevious:
      return JoinToNeighbour(spans);
    case SplitBehavior::kMergedWithNext:
      std::reverse(spans.begin(), spans.end());
      spans = JoinToNeighbour(spans);
      std::reverse(spans.begin(), spans.end());
      return spans;
    case SplitBehavior::kContiguous:
      break;
  }
  return JoinAlike(spans);
}

}  // namespace

std::optional<SplitBehavior> SplitBehaviorNamed(std::string_view name) {
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return std::nullopt;
}

absl::Status SplitPieces(const Pattern& pattern,
                         SplitBehavior behavior,
                         bool invert,
                         std::vector<Piece>* pieces) {
  std::vector<Piece> cut;
  for (Piece& piece : *pieces) {
    ASSIGN_OR_RETURN(std::vector<Span> spans, pattern.Cut(piece.text));
    for (Span& span : spans) span.match = span.match != invert;
    spans = Arrange(std::move(spans), behavior);
    if (spans.size() == 1 &&
        spans[0].end - spans[0].begin == piece.text.size()) {
      cut.push_back(std::move(piece));
      continue;
    }
    for (const Span& span : spans) {
      if (span.begin == span.end) continue;
      cut.push_back(
          {.text = piece.text.substr(span.begin, span.end - span.begin),
           .first = piece.first && span.begin == 0});
    }
  }
  *pieces = std::move(cut);
  return absl::OkStatus();
}

}  // namespace spar::models::text
