// L5. Comparisons and aggregates as text.
#include <algorithm>
#include <string_view>
#include <vector>

#include "client/graph/node_names.h"
#include "client/graph/several_graphs.h"
#include "client/graph/text_columns.h"
#include "client/text.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr int kNumberColumns = 11;

std::string Right(std::string_view text) {
  return RightAligned(text, kNumberColumns);
}

std::string Heading(const std::vector<std::string_view>& columns,
                    std::string_view last,
                    const Style& style) {
  std::string line;
  for (const std::string_view column : columns) line += Right(column);
  return base::Cat("\n", Paint(style, Tone::kDim, base::Cat(line, "  ", last)),
                   "\n");
}

std::string Named(const GraphView& view, int node) {
  const bool is_logit =
      view.node(node).kind() == v1::ATTRIBUTION_NODE_KIND_LOGIT;
  const std::string name = FullName(view, node);
  return base::Cat(is_logit ? Quoted(name) : Escaped(name), " @",
                   view.node(node).position());
}

std::string GraphLine(const GraphView& view) {
  return base::Cat(Escaped(PromptText(view.header())), "  ",
                   Named(view, view.target()), "  ",
                   WithCommas(view.num_nodes()), " nodes, ",
                   WithCommas(view.edges().num_edges()), " edges");
}

std::string OnlyLines(const GraphView& view,
                      const google::protobuf::RepeatedField<int32_t>& nodes,
                      std::string_view title,
                      int num_lines,
                      const Style& style) {
  if (nodes.empty()) return "";
  std::vector<int32_t> order(nodes.begin(), nodes.end());
  std::stable_sort(order.begin(), order.end(), [&view](int32_t a, int32_t b) {
    return view.shares()[a] > view.shares()[b];
  });
  if (static_cast<int>(order.size()) > num_lines) {
    order.resize(static_cast<size_t>(num_lines));
  }
  std::string text = Heading({"share", "effect"}, title, style);
  for (const int32_t node : order) {
    text += base::Cat(Right(Percent(view.shares()[node])),
                      Right(Value(view.effects()[node])), "  ",
                      Named(view, node), "\n");
  }
  return text;
}

std::string ComponentName(const v1::AttributionComponent& component) {
  const std::string site = Escaped(component.site());
  switch (component.kind()) {
    case v1::ATTRIBUTION_NODE_KIND_HEAD:
      return base::Cat(site, "#head=", component.index());
    case v1::ATTRIBUTION_NODE_KIND_NEURON:
      return base::Cat(site, "#neuron=", component.index());
    case v1::ATTRIBUTION_NODE_KIND_DELTA:
      return base::Cat(site, " delta");
    case v1::ATTRIBUTION_NODE_KIND_BIAS:
      return base::Cat(site, " bias");
    case v1::ATTRIBUTION_NODE_KIND_EMBEDDING:
      return site;
    default:
      return base::Cat(site, ":", component.index());
  }
}

}  // namespace

std::string FormatComparison(const v1::AttributionComparison& comparison,
                             const GraphView& left,
                             const GraphView& right,
                             int num_lines,
                             const Style& style) {
  const std::string arrow = style.unicode ? " → " : " -> ";
  std::string text = "\n";
  text += LabeledLine("left", GraphLine(left), style);
  text += LabeledLine("right", GraphLine(right), style);
  text += LabeledLine(
      "common",
      base::Cat(WithCommas(comparison.common_size()), " nodes; ",
                WithCommas(comparison.only_left_size()), " only left, ",
                WithCommas(comparison.only_right_size()), " only right"),
      style);
  text += LabeledLine(
      "edges",
      base::Cat(WithCommas(comparison.edges_size()), " between common nodes; ",
                WithCommas(comparison.edges_only_left_count()), " only left, ",
                WithCommas(comparison.edges_only_right_count()), " only right"),
      style);
  text += Heading({"left", "right", "change"}, "edge", style);
  for (int i = 0; i < std::min(num_lines, comparison.edges_size()); ++i) {
    const v1::AttributionEdgeChange& edge = comparison.edges(i);
    const double change = double{edge.right_value()} - edge.left_value();
    if (change == 0) break;  // they come by falling change
    text += base::Cat(Right(Value(edge.left_value())),
                      Right(Value(edge.right_value())),
                      Paint(style, change < 0 ? Tone::kBad : Tone::kGood,
                            Right(Value(change))),
                      "  ", Named(left, edge.source().left()), arrow,
                      Named(left, edge.target().left()), "\n");
  }
  text +=
      OnlyLines(left, comparison.only_left(), "only left", num_lines, style);
  text +=
      OnlyLines(right, comparison.only_right(), "only right", num_lines, style);
  return text;
}

std::string FormatAggregate(const v1::AttributionAggregate& aggregate,
                            int num_lines,
                            const Style& style) {
  std::string text = "\n";
  text += LabeledLine("graphs", WithCommas(aggregate.graph_count()), style);
  text +=
      LabeledLine("components", WithCommas(aggregate.components_size()), style);
  text += LabeledLine("edges", WithCommas(aggregate.edges_size()), style);
  text +=
      Heading({"graphs", "nodes", "effect", "importance"}, "component", style);
  for (int i = 0; i < std::min(num_lines, aggregate.components_size()); ++i) {
    const v1::AttributionComponentTotals& totals = aggregate.components(i);
    text += base::Cat(Right(WithCommas(totals.graph_count())),
                      Right(WithCommas(totals.node_count())),
                      Right(Value(totals.mean_effect())),
                      Right(Percent(totals.mean_importance())), "  ",
                      ComponentName(totals.component()), "\n");
  }
  text += Heading({"graphs", "edges", "sum", "size"}, "edge", style);
  for (int i = 0; i < std::min(num_lines, aggregate.edges_size()); ++i) {
    const v1::AttributionEdgeTotals& totals = aggregate.edges(i);
    text += base::Cat(
        Right(WithCommas(totals.graph_count())),
        Right(WithCommas(totals.edge_count())), Right(Value(totals.sum())),
        Right(Value(totals.magnitude())), "  ", ComponentName(totals.source()),
        style.unicode ? " → " : " -> ", ComponentName(totals.target()), "\n");
  }
  return text;
}

}  // namespace spar::client
