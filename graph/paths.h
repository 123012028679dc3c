// L1. The strongest paths into a node.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "graph/graph.h"
#include "graph/weighting.h"

namespace spar::graph {

struct Path {
  std::vector<int32_t> nodes = {};  // from the first to the target
  double value = 0;                 // what the path counts, with its sign
  double log_strength = 0;          // ln |value|, which may be beyond a double
};

struct PathQuery {
  int target = 0;
  // Where paths begin; by default at any node that nothing writes into.
  std::optional<int> source = std::nullopt;
  int num_paths = 10;
};

// The strongest by |value|, best first. Paths that count nothing are left out,
// so there may be fewer. Exact: one sweep up gives the strongest way into every
// node (the longest path of a DAG, in logarithms); then paths are grown from
// the target, best possible whole first. Time is linear in the edges for the
// sweep, then about num_paths x length; see Note [Growing paths].
std::vector<Path> StrongestPaths(const Graph& graph,
                                 const PathWeights& weights,
                                 const PathQuery& query);

}  // namespace spar::graph
