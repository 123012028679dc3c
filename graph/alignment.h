// L1. Which position of one prompt stands for which of another.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace spar::graph {

// [left position]: the right position that matches it, or -1; ascending where
// it is not -1. Prompts of equal length match position by position, whatever
// their tokens ("the princess lost" and "the prince lost"). Others match along
// a longest common subsequence of tokens, and between its members where the
// stretches that differ are equally long.
std::vector<int32_t> AlignPositions(std::span<const int32_t> left,
                                    std::span<const int32_t> right);

}  // namespace spar::graph
