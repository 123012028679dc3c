// L1. What many graphs say together about components, wherever they occur.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "graph/labeled_graph.h"

namespace spar::graph {

// A node without its position.
struct Component {
  std::string site = {};
  int32_t kind = 0;
  int32_t index = 0;

  friend auto operator<=>(const Component&, const Component&) = default;
};

struct ComponentTotals {
  int64_t graphs = 0;            // that have it
  int64_t nodes = 0;             // in all of them
  double importance = 0;         // summed over nodes
  double activation = 0;         // sum of |activation| over nodes
  double influence = 0;          // summed over nodes
  double largest_influence = 0;  // of one node, by size
};

struct EdgeTotals {
  int64_t graphs = 0;  // that have such an edge
  int64_t edges = 0;   // in all of them
  double sum = 0;      // of weights
  double size = 0;     // of |weights|
};

// What one graph brings: values of its nodes.
struct NodeValues {
  std::span<const double> activations = {};  // [node]
  std::span<const double> importances = {};  // [node]
  std::span<const double> influences = {};   // [node], on the graph's target
};

// Adds up graphs one by one; keeps none of them. Sums over positions: an edge
// from a component to another counts wherever the two occur.
class Aggregate {
 public:
  void Add(const LabeledGraph& graph, const NodeValues& values);

  int64_t num_graphs() const { return num_graphs_; }
  const std::map<Component, ComponentTotals>& components() const {
    return components_;
  }
  // By (source, target).
  const std::map<std::pair<Component, Component>, EdgeTotals>& edges() const {
    return edges_;
  }

 private:
  int64_t num_graphs_ = 0;
  std::map<Component, ComponentTotals> components_;
  std::map<std::pair<Component, Component>, EdgeTotals> edges_;
};

}  // namespace spar::graph
