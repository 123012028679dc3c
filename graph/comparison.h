// L1. What two graphs of one model share, and where they differ.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "graph/labeled_graph.h"

namespace spar::graph {

// An edge between two nodes that both graphs have.
struct EdgePair {
  std::pair<int32_t, int32_t> left = {};   // source and target, left numbers
  std::pair<int32_t, int32_t> right = {};  // the same in the right graph
  float left_weight = 0;                   // 0: the left graph lacks it
  float right_weight = 0;                  // 0: the right graph lacks it
};

struct Comparison {
  std::vector<std::pair<int32_t, int32_t>> common = {};  // (left, right) nodes
  std::vector<int32_t> only_left = {};                   // ascending
  std::vector<int32_t> only_right = {};                  // ascending
  // Among common nodes, by falling |right_weight - left_weight|.
  std::vector<EdgePair> edges = {};
  // Edges with an end that the other graph lacks.
  int64_t edges_only_left = 0;
  int64_t edges_only_right = 0;
};

// Nodes are the same when site name, kind and index are, at positions that
// AlignPositions matches. Beyond that `same` pairs nodes by hand, for example
// the two targets " her" and " his"; each node in one pair at most, others of
// those nodes' pairs are dropped.
Comparison Compare(const LabeledGraph& left,
                   const LabeledGraph& right,
                   const std::vector<std::pair<int32_t, int32_t>>& same = {});

}  // namespace spar::graph
