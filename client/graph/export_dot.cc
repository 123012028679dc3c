// L5. Graphviz: `dot -Tsvg`. Sites are ranks, colours tell the sign.
#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include "client/graph/exports.h"
#include "client/graph/node_names.h"
#include "client/text.h"

#include "base/status.h"

namespace spar::client {
namespace {

// A DOT string. Control characters become visible first, as on a terminal; then
// only quotes and backslashes mean anything.
std::string DotString(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : Escaped(text)) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

std::string_view ShapeOf(v1::AttributionNodeKind kind) {
  switch (kind) {
    case v1::ATTRIBUTION_NODE_KIND_EMBEDDING:
      return "box";
    case v1::ATTRIBUTION_NODE_KIND_LOGIT:
      return "doubleoctagon";
    case v1::ATTRIBUTION_NODE_KIND_DELTA:
    case v1::ATTRIBUTION_NODE_KIND_BIAS:
      return "diamond";
    default:
      return "ellipse";
  }
}

std::string NodeLine(const GraphView& view, int number) {
  const v1::AttributionNode& node = view.node(number);
  const v1::Token& token = view.header().prompt(node.position());
  const std::string label =
      base::Cat(ShortName(view, number), " @", node.position(), " ",
                Quoted(token.text()));
  const std::string hint =
      base::Cat(FullName(view, number), " activation ",
                Printed("%.6g", node.activation()), " importance ",
                Printed("%.6g", node.importance()));
  return base::Cat("  n", number, " [label=", DotString(label),
                   ", shape=", ShapeOf(node.kind()),
                   ", tooltip=", DotString(hint), "];\n");
}

std::string EdgeLine(int source, int target, double value, double largest) {
  const double strength = largest > 0 ? std::abs(value) / largest : 0;
  return base::Cat("  n", source, " -> n", target,
                   " [weight=", 1 + static_cast<int>(99 * strength),
                   ", penwidth=", Printed("%.3g", 0.3 + 3.7 * strength),
                   ", color=\"", value < 0 ? "#c2570c" : "#1f6fb2",
                   "\", tooltip=\"", Printed("%+.6g", value), "\"];\n");
}

}  // namespace

std::string GraphToDot(const GraphView& view) {
  double largest = 0;
  for (int target = 0; target < view.num_nodes(); ++target) {
    const std::span<const float> weights = view.edges().Weights(target);
    for (const float weight : weights) {
      largest = std::max(largest, std::abs(double{weight}));
    }
  }
  std::string text =
      base::Cat("digraph attribution {\n  rankdir=BT;\n  label=",
                DotString(PromptText(view.header())),
                ";\n  node [fontname=\"sans-serif\", fontsize=10];\n");
  for (int i = 0; i < view.num_nodes(); ++i) text += NodeLine(view, i);
  for (int site = 0; site < view.header().sites_size(); ++site) {
    std::string members;
    for (int i = 0; i < view.num_nodes(); ++i) {
      if (view.node(i).site() == site) members += base::Cat(" n", i, ";");
    }
    if (!members.empty()) text += base::Cat("  { rank=same;", members, " }\n");
  }
  for (int target = 0; target < view.num_nodes(); ++target) {
    const std::span<const int32_t> sources = view.edges().Sources(target);
    const std::span<const float> weights = view.edges().Weights(target);
    for (size_t i = 0; i < sources.size(); ++i) {
      text += EdgeLine(sources[i], target, weights[i], largest);
    }
  }
  return text + "}\n";
}

}  // namespace spar::client
