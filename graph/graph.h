// L1. The edges of an attribution graph, compact and triangular.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace spar::graph {

// Some edges, by target: targets[i] has counts[i] of them, one after another in
// sources and weights. A target may come back in another block.
struct EdgeBlock {
  std::vector<int32_t> targets = {};
  std::vector<int32_t> counts = {};   // [targets]
  std::vector<int32_t> sources = {};  // [edges]
  std::vector<float> weights = {};    // [edges], attr(source -> target)
};

// Immutable. Nodes are numbered in topological order: every edge comes from a
// lower number, so one sweep down visits a node after all that it writes into,
// and one sweep up after all that write into it. There is no dense matrix
// anywhere: 8 bytes an edge and 8 a node.
class Graph {
 public:
  Graph() = default;

  // kInvalidArgument BAD_GRAPH: lists that do not match, a node outside
  // [0, num_nodes), a source not below its target, the same edge twice, a
  // weight that is not finite.
  static absl::StatusOr<Graph> Make(int num_nodes,
                                    std::span<const EdgeBlock> blocks);

  int num_nodes() const { return static_cast<int>(first_.size()) - 1; }
  int64_t num_edges() const { return static_cast<int64_t>(sources_.size()); }

  // The edges into `target`: sources ascending, and their weights alike.
  std::span<const int32_t> Sources(int target) const {
    return std::span(sources_).subspan(First(target), Count(target));
  }
  std::span<const float> Weights(int target) const {
    return std::span(weights_).subspan(First(target), Count(target));
  }
  // The number of the first of them: arrays of one value an edge start there.
  size_t First(int target) const {
    return static_cast<size_t>(first_[static_cast<size_t>(target)]);
  }

 private:
  size_t Count(int target) const { return First(target + 1) - First(target); }

  std::vector<int64_t> first_ = {0};  // [nodes + 1]
  std::vector<int32_t> sources_;
  std::vector<float> weights_;
};

}  // namespace spar::graph
