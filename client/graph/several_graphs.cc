#include "client/graph/several_graphs.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/status.h"
#include "graph/aggregate.h"
#include "graph/comparison.h"

namespace spar::client {
namespace {

absl::Status CheckSameModel(const GraphView& left, const GraphView& right) {
  const v1::AttributionHeader& a = left.header();
  const v1::AttributionHeader& b = right.header();
  if (a.model_digest() == b.model_digest() &&
      a.decomposition() == b.decomposition()) {
    return absl::OkStatus();
  }
  return base::InvalidArgument(
      "DIFFERENT_MODELS", "",
      base::Cat("the graphs are of ", a.model(), " (", a.model_digest(), ", '",
                a.decomposition(), "') and of ", b.model(), " (",
                b.model_digest(), ", '", b.decomposition(),
                "'): want one model and decomposition"));
}

v1::AttributionNodePair PairOf(int32_t left, int32_t right) {
  v1::AttributionNodePair pair;
  pair.set_left(left);
  pair.set_right(right);
  return pair;
}

v1::AttributionComponent MessageOf(const graph::Component& component) {
  v1::AttributionComponent message;
  message.set_site(component.site);
  message.set_kind(static_cast<v1::AttributionNodeKind>(component.kind));
  message.set_index(component.index);
  return message;
}

}  // namespace

absl::StatusOr<v1::AttributionComparison> CompareGraphs(
    const GraphView& left, const GraphView& right) {
  RETURN_IF_ERROR(CheckSameModel(left, right));
  const graph::Comparison found = graph::Compare(
      left.labeled(), right.labeled(), {{left.target(), right.target()}});
  v1::AttributionComparison message;
  for (const auto& [l, r] : found.common) {
    *message.add_common() = PairOf(l, r);
  }
  message.mutable_only_left()->Assign(found.only_left.begin(),
                                      found.only_left.end());
  message.mutable_only_right()->Assign(found.only_right.begin(),
                                       found.only_right.end());
  for (const graph::EdgePair& edge : found.edges) {
    v1::AttributionEdgeChange* const change = message.add_edges();
    *change->mutable_source() = PairOf(edge.left.first, edge.right.first);
    *change->mutable_target() = PairOf(edge.left.second, edge.right.second);
    change->set_left_value(edge.left_weight);
    change->set_right_value(edge.right_weight);
  }
  message.set_edges_only_left_count(found.edges_only_left);
  message.set_edges_only_right_count(found.edges_only_right);
  return message;
}

absl::StatusOr<v1::AttributionAggregate> AggregateGraphs(
    std::span<const GraphView> graphs) {
  graph::Aggregate aggregate;
  for (const GraphView& view : graphs) {
    RETURN_IF_ERROR(CheckSameModel(graphs.front(), view));
    const std::vector<double> effects(view.effects().begin(),
                                      view.effects().end());
    aggregate.Add(view.labeled(),
                  {view.activations(), view.importances(), effects});
  }
  v1::AttributionAggregate message;
  message.set_graph_count(aggregate.num_graphs());
  for (const auto& [component, totals] : aggregate.components()) {
    v1::AttributionComponentTotals* const to = message.add_components();
    const double nodes = static_cast<double>(totals.nodes);
    *to->mutable_component() = MessageOf(component);
    to->set_graph_count(totals.graphs);
    to->set_node_count(totals.nodes);
    to->set_mean_importance(totals.importance / nodes);
    to->set_mean_magnitude(totals.activation / nodes);
    to->set_mean_effect(totals.influence / static_cast<double>(totals.graphs));
    to->set_largest_effect(totals.largest_influence);
  }
  std::stable_sort(
      message.mutable_components()->begin(),
      message.mutable_components()->end(), [](const auto& a, const auto& b) {
        if (a.graph_count() != b.graph_count()) {
          return a.graph_count() > b.graph_count();
        }
        return std::abs(a.mean_effect()) > std::abs(b.mean_effect());
      });
  for (const auto& [ends, totals] : aggregate.edges()) {
    v1::AttributionEdgeTotals* const to = message.add_edges();
    *to->mutable_source() = MessageOf(ends.first);
    *to->mutable_target() = MessageOf(ends.second);
    to->set_graph_count(totals.graphs);
    to->set_edge_count(totals.edges);
    to->set_sum(totals.sum);
    to->set_magnitude(totals.size);
  }
  std::stable_sort(message.mutable_edges()->begin(),
                   message.mutable_edges()->end(),
                   [](const auto& a, const auto& b) {
                     return a.magnitude() > b.magnitude();
                   });
  return message;
}

}  // namespace spar::client
