#include "graph/alignment.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace spar::graph {
namespace {

// Longest common subsequence: [left position] to right, or -1.
std::vector<int32_t> Anchors(std::span<const int32_t> left,
                             std::span<const int32_t> right) {
  const size_t columns = right.size() + 1;
  // length[i * columns + j]: of the best for left[i..] and right[j..].
  std::vector<int32_t> length((left.size() + 1) * columns, 0);
  for (size_t i = left.size(); i-- > 0;) {
    for (size_t j = right.size(); j-- > 0;) {
      const int32_t skip =
          std::max(length[(i + 1) * columns + j], length[i * columns + j + 1]);
      const int32_t take = length[(i + 1) * columns + j + 1] + 1;
      length[i * columns + j] = left[i] == right[j] ? take : skip;
    }
  }
  std::vector<int32_t> anchors(left.size(), -1);
  for (size_t i = 0, j = 0; i < left.size() && j < right.size();) {
    if (left[i] == right[j]) {
      anchors[i++] = static_cast<int32_t>(j++);
    } else if (length[(i + 1) * columns + j] >= length[i * columns + j + 1]) {
      ++i;
    } else {
      ++j;
    }
  }
  return anchors;
}

}  // namespace

std::vector<int32_t> AlignPositions(std::span<const int32_t> left,
                                    std::span<const int32_t> right) {
  std::vector<int32_t> aligned(left.size());
  if (left.size() == right.size()) {
    std::iota(aligned.begin(), aligned.end(), 0);
    return aligned;
  }
  aligned = Anchors(left, right);
  // Stretches between anchors: [i, end) on the left, [j, next) on the right.
  size_t i = 0;
  size_t j = 0;
  while (i < left.size()) {
    if (aligned[i] >= 0) {
      j = static_cast<size_t>(aligned[i++]) + 1;
      continue;
    }
    size_t end = i;
    while (end < left.size() && aligned[end] < 0) ++end;
    const size_t next =
        end < left.size() ? static_cast<size_t>(aligned[end]) : right.size();
    const bool equal = end - i == next - j;
    for (; i < end; ++i, ++j) {
      if (equal) aligned[i] = static_cast<int32_t>(j);
    }
    j = next;
  }
  return aligned;
}

}  // namespace spar::graph
