#include "graph/influence.h"

#include <span>

namespace spar::graph {

std::vector<double> InfluenceOn(const Graph& graph,
                                const PathWeights& weights,
                                int target) {
  // sums[n]: over the paths from n to the target, the product of the factors.
  std::vector<double> sums(static_cast<size_t>(graph.num_nodes()), 0.0);
  sums[static_cast<size_t>(target)] = 1;
  for (int node = target; node >= 0; --node) {
    const double below = sums[static_cast<size_t>(node)];
    if (below == 0) continue;
    const std::span<const int32_t> sources = graph.Sources(node);
    const double* const factors = weights.factors.data() + graph.First(node);
    for (size_t i = 0; i < sources.size(); ++i) {
      sums[static_cast<size_t>(sources[i])] += below * factors[i];
    }
  }
  for (size_t n = 0; n < sums.size(); ++n) {
    sums[n] = sums[n] * weights.starts[n] + 0.0;  // no negative zeros
  }
  return sums;
}

}  // namespace spar::graph
