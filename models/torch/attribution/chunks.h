// L1t. Positions in runs whose work fits a bound.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace spar::models {

// What one run of positions may take beside the rows of its graph.
inline constexpr int64_t kChunkBytes = int64_t{128} << 20;

// Consecutive [begin, end) that cover [0, tokens): as many positions each as
// keep bytes(t) summed within kChunkBytes, and at least one.
std::vector<std::pair<int, int>> PositionChunks(
    int tokens, const std::function<int64_t(int)>& bytes);

}  // namespace spar::models
