// L1. How much every node has to do with one node: one sweep over the edges.
#pragma once

#include <vector>

#include "graph/graph.h"
#include "graph/weighting.h"

namespace spar::graph {

// [node]: the sum over all paths from that node to `target` of what each path
// counts; 0 where there is none. The target itself counts its start. Time is
// linear in the edges below the target. See Note [Influence and paths].
std::vector<double> InfluenceOn(const Graph& graph,
                                const PathWeights& weights,
                                int target);

}  // namespace spar::graph
