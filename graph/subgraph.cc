#include "graph/subgraph.h"

#include <span>
#include <utility>

#include "base/status.h"

namespace spar::graph {

Subgraph Induced(const Graph& graph, std::vector<int32_t> nodes) {
  std::vector<int32_t> number(static_cast<size_t>(graph.num_nodes()), -1);
  for (size_t i = 0; i < nodes.size(); ++i) {
    number[static_cast<size_t>(nodes[i])] = static_cast<int32_t>(i);
  }
  EdgeBlock block;
  for (const int32_t target : nodes) {
    const std::span<const int32_t> sources = graph.Sources(target);
    const std::span<const float> weights = graph.Weights(target);
    block.targets.push_back(number[static_cast<size_t>(target)]);
    block.counts.push_back(0);
    for (size_t i = 0; i < sources.size(); ++i) {
      const int32_t source = number[static_cast<size_t>(sources[i])];
      if (source < 0) continue;
      ++block.counts.back();
      block.sources.push_back(source);
      block.weights.push_back(weights[i]);
    }
  }
  absl::StatusOr<Graph> part = Graph::Make(
      static_cast<int>(nodes.size()), std::span<const EdgeBlock>(&block, 1));
  INVARIANT(part.ok());
  Subgraph subgraph;
  subgraph.nodes = std::move(nodes);
  subgraph.graph = *std::move(part);
  return subgraph;
}

Subgraph Between(const Graph& graph, int source, int target) {
  const size_t num_nodes = static_cast<size_t>(graph.num_nodes());
  std::vector<bool> reached(num_nodes, false);   // from the source
  std::vector<bool> reaching(num_nodes, false);  // the target
  reached[static_cast<size_t>(source)] = true;
  for (int node = source + 1; node <= target; ++node) {
    const std::span<const int32_t> sources = graph.Sources(node);
    for (const int32_t from : sources) {
      if (!reached[static_cast<size_t>(from)]) continue;
      reached[static_cast<size_t>(node)] = true;
      break;
    }
  }
  reaching[static_cast<size_t>(target)] = true;
  for (int node = target; node >= source; --node) {
    if (!reaching[static_cast<size_t>(node)]) continue;
    const std::span<const int32_t> sources = graph.Sources(node);
    for (const int32_t from : sources) {
      reaching[static_cast<size_t>(from)] = true;
    }
  }
  std::vector<int32_t> nodes;
  for (size_t node = 0; node < num_nodes; ++node) {
    const bool is_end = node == static_cast<size_t>(source) ||
                        node == static_cast<size_t>(target);
    if (is_end || (reached[node] && reaching[node])) {
      nodes.push_back(static_cast<int32_t>(node));
    }
  }
  return Induced(graph, std::move(nodes));
}

}  // namespace spar::graph
