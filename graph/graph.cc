#include "graph/graph.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/status.h"

namespace spar::graph {
namespace {

absl::Status BadGraph(std::string_view message) {
  return base::InvalidArgument("BAD_GRAPH", "", message);
}

absl::Status CheckEdge(int32_t source, int32_t target, float weight) {
  if (source < 0 || source >= target) {
    return BadGraph(base::Cat("an edge goes from node ", source, " to node ",
                              target, ": want a source in [0, ", target, ")"));
  }
  if (!std::isfinite(weight)) {
    return BadGraph(base::Cat("the edge from node ", source, " to node ",
                              target, " has no finite weight"));
  }
  return absl::OkStatus();
}

absl::Status CheckBlock(const EdgeBlock& block, int num_nodes) {
  if (block.targets.size() != block.counts.size() ||
      block.sources.size() != block.weights.size()) {
    return BadGraph(base::Cat("a block has ", block.targets.size(),
                              " targets, ", block.counts.size(), " counts, ",
                              block.sources.size(), " sources, and ",
                              block.weights.size(), " weights"));
  }
  size_t edge = 0;
  for (size_t i = 0; i < block.targets.size(); ++i) {
    const int32_t target = block.targets[i];
    if (target < 0 || target >= num_nodes) {
      return BadGraph(base::Cat("an edge goes to node ", target, ": want [0, ",
                                num_nodes, ")"));
    }
    if (block.counts[i] < 0 ||
        static_cast<size_t>(block.counts[i]) > block.sources.size() - edge) {
      return BadGraph(base::Cat("node ", target, " has ", block.counts[i],
                                " edges in a block of ", block.sources.size()));
    }
    for (int32_t n = 0; n < block.counts[i]; ++n, ++edge) {
      RETURN_IF_ERROR(
          CheckEdge(block.sources[edge], target, block.weights[edge]));
    }
  }
  if (edge == block.sources.size()) return absl::OkStatus();
  return BadGraph(base::Cat("a block counts ", edge, " edges and holds ",
                            block.sources.size()));
}

}  // namespace

absl::StatusOr<Graph> Graph::Make(int num_nodes,
                                  std::span<const EdgeBlock> blocks) {
  if (num_nodes < 0) {
    return BadGraph(base::Cat("a graph of ", num_nodes, " nodes"));
  }
  Graph graph;
  graph.first_.assign(static_cast<size_t>(num_nodes) + 1, 0);
  for (const EdgeBlock& block : blocks) {
    RETURN_IF_ERROR(CheckBlock(block, num_nodes));
    for (size_t i = 0; i < block.targets.size(); ++i) {
      graph.first_[static_cast<size_t>(block.targets[i]) + 1] +=
          block.counts[i];
    }
  }
  std::partial_sum(graph.first_.begin(), graph.first_.end(),
                   graph.first_.begin());
  const size_t num_edges = static_cast<size_t>(graph.first_.back());
  std::vector<std::pair<int32_t, float>> edges(num_edges);
  std::vector<int64_t> next(graph.first_.begin(), graph.first_.end() - 1);
  for (const EdgeBlock& block : blocks) {
    size_t edge = 0;
    for (size_t i = 0; i < block.targets.size(); ++i) {
      int64_t& slot = next[static_cast<size_t>(block.targets[i])];
      for (int32_t n = 0; n < block.counts[i]; ++n, ++edge, ++slot) {
        edges[static_cast<size_t>(slot)] = {block.sources[edge],
                                            block.weights[edge]};
      }
    }
  }
  graph.sources_.resize(num_edges);
  graph.weights_.resize(num_edges);
  for (int target = 0; target < num_nodes; ++target) {
    const auto begin =
        edges.begin() + graph.first_[static_cast<size_t>(target)];
    const auto end =
        edges.begin() + graph.first_[static_cast<size_t>(target) + 1];
    std::sort(begin, end);
    for (auto edge = begin; edge != end; ++edge) {
      if (edge != begin && edge->first == (edge - 1)->first) {
        return BadGraph(base::Cat("the edge from node ", edge->first,
                                  " to node ", target, " comes twice"));
      }
      const size_t index = static_cast<size_t>(edge - edges.begin());
      graph.sources_[index] = edge->first;
      graph.weights_[index] = edge->second;
    }
  }
  return graph;
}

}  // namespace spar::graph
