// L5. A checked attribution graph: the message, and the graph that it holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "graph/labeled_graph.h"
#include "graph/weighting.h"
#include "spar/v1/attribution.pb.h"

namespace spar::client {

// Immutable. Made from any message, of a server or of a file: whatever it
// holds, the members are safe to use and consistent.
class GraphView {
 public:
  // kInvalidArgument BAD_GRAPH: an edge or node that cannot be, a number that
  // is not finite, the same node twice, an answer of another length.
  static absl::StatusOr<GraphView> Make(v1::AttributionGraph message);

  const v1::AttributionGraph& message() const { return message_; }
  const v1::AttributionHeader& header() const { return message_.header(); }
  const v1::AttributionNode& node(int number) const {
    return message_.nodes(number);
  }
  const v1::AttributionSite& site(int number) const {
    return header().sites(node(number).site());
  }
  int num_nodes() const { return message_.nodes_size(); }

  const graph::LabeledGraph& labeled() const { return labeled_; }
  const graph::Graph& edges() const { return labeled_.graph; }
  const std::vector<double>& activations() const { return activations_; }
  const std::vector<double>& importances() const { return importances_; }

  // Where the answer's influences and paths end.
  int target() const { return message_.summary().answer().target_node(); }
  // [node], the answer's.
  const google::protobuf::RepeatedField<double>& shares() const {
    return message_.summary().answer().shares();
  }
  const google::protobuf::RepeatedField<double>& effects() const {
    return message_.summary().answer().effects();
  }

 private:
  GraphView() = default;

  v1::AttributionGraph message_;
  graph::LabeledGraph labeled_;
  std::vector<double> activations_;  // [node]
  std::vector<double> importances_;  // [node]
};

// Another answer about a saved graph, over the edges that it holds.
struct GraphQuestion {
  std::optional<int> target = std::nullopt;  // by default the answer's
  std::optional<int> source = std::nullopt;  // of paths
  int num_paths = 16;
  v1::PathWeighting weighting = v1::PATH_WEIGHTING_SHARE;
};
// kInvalidArgument NODE_OUT_OF_RANGE.
absl::StatusOr<v1::AttributionAnswer> AnswerOf(const GraphView& view,
                                               const GraphQuestion& question);

}  // namespace spar::client
