// L1t. Positions in runs whose work fits a bound.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace spar::models {

// What one run of positions may take beside the rows of its graph.
inline constexpr int64_t kChunkBytes = int64_t{128} << 20;
// The same where several passes over it should find it in a core's cache.
inline constexpr int64_t kCacheBytes = int64_t{1} << 20;

// Consecutive [begin, end) that cover [0, tokens): as many positions each as
// keep bytes(t) summed within `limit`, and at least one.
std::vector<std::pair<int, int>> PositionChunks(
    int tokens, int64_t limit, const std::function<int64_t(int)>& bytes);

}  // namespace spar::models
