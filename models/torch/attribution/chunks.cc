#include "models/torch/attribution/chunks.h"

namespace spar::models {

std::vector<std::pair<int, int>> PositionChunks(
    int tokens, int64_t limit, const std::function<int64_t(int)>& bytes) {
  std::vector<std::pair<int, int>> chunks;
  int64_t taken = 0;
  for (int t = 0; t < tokens; ++t) {
    const int64_t more = bytes(t);
    if (chunks.empty() || taken + more > limit) {
      chunks.emplace_back(t, t);
      taken = 0;
    }
    chunks.back().second = t + 1;
    taken += more;
  }
  return chunks;
}

}  // namespace spar::models
