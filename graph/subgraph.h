// L1. The part of a graph that lies between two nodes.
#pragma once

#include <cstdint>
#include <vector>

#include "graph/graph.h"

namespace spar::graph {

struct Subgraph {
  std::vector<int32_t> nodes = {};  // ascending numbers of the whole graph
  Graph graph = {};                 // node i is nodes[i] of the whole
};

// Every node on some path from `source` to `target`, with the edges between
// them; both ends are there even without a path.
Subgraph Between(const Graph& graph, int source, int target);

// `nodes` (ascending) and the edges between them.
Subgraph Induced(const Graph& graph, std::vector<int32_t> nodes);

}  // namespace spar::graph
