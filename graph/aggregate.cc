#include "graph/aggregate.h"

#include <cmath>
#include <tuple>
#include <unordered_map>

namespace spar::graph {
namespace {

// Components of one graph, numbered; [node] to number.
struct Numbering {
  std::vector<Component> components = {};
  std::vector<int32_t> of_node = {};
};

Numbering NumberingOf(const LabeledGraph& graph) {
  std::map<std::tuple<int32_t, int32_t, int32_t>, int32_t> numbers;
  Numbering numbering;
  for (const Label& label : graph.labels) {
    const auto [found, is_new] =
        numbers.try_emplace({label.site, label.kind, label.index},
                            static_cast<int32_t>(numbering.components.size()));
    if (is_new) {
      numbering.components.push_back(
          {graph.sites[static_cast<size_t>(label.site)], label.kind,
           label.index});
    }
    numbering.of_node.push_back(found->second);
  }
  return numbering;
}

}  // namespace

void Aggregate::Add(const LabeledGraph& graph, const NodeValues& values) {
  ++num_graphs_;
  const Numbering numbering = NumberingOf(graph);
  for (const Component& component : numbering.components) {
    ++components_[component].graphs;
  }
  for (size_t i = 0; i < numbering.of_node.size(); ++i) {
    ComponentTotals& totals =
        components_[numbering
                        .components[static_cast<size_t>(numbering.of_node[i])]];
    ++totals.nodes;
    totals.importance += values.importances[i];
    totals.activation += std::abs(values.activations[i]);
    totals.influence += values.influences[i];
    if (std::abs(values.influences[i]) > std::abs(totals.largest_influence)) {
      totals.largest_influence = values.influences[i];
    }
  }
  // Numbers first, so that names are looked up once a pair.
  std::unordered_map<int64_t, EdgeTotals> mine;
  for (int target = 0; target < graph.graph.num_nodes(); ++target) {
    const std::span<const int32_t> sources = graph.graph.Sources(target);
    const std::span<const float> weights = graph.graph.Weights(target);
    const int64_t to = numbering.of_node[static_cast<size_t>(target)];
    for (size_t i = 0; i < sources.size(); ++i) {
      const int64_t from = numbering.of_node[static_cast<size_t>(sources[i])];
      EdgeTotals& totals = mine[(from << 32) | to];
      ++totals.edges;
      totals.sum += weights[i];
      totals.size += std::abs(double{weights[i]});
    }
  }
  for (const auto& [pair, totals] : mine) {
    EdgeTotals& sum =
        edges_[{numbering.components[static_cast<size_t>(pair >> 32)],
                numbering.components[static_cast<size_t>(pair & 0xFFFFFFFF)]}];
    ++sum.graphs;
    sum.edges += totals.edges;
    sum.sum += totals.sum;
    sum.size += totals.size;
  }
}

}  // namespace spar::graph
