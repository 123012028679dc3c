#include "client/graph/node_names.h"

#include "base/status.h"

namespace spar::client {
namespace {

// What follows the site's name.
std::string Suffix(const v1::AttributionNode& node,
                   std::string_view separator) {
  switch (node.kind()) {
    case v1::ATTRIBUTION_NODE_KIND_DELTA:
      return base::Cat(separator, "delta");
    case v1::ATTRIBUTION_NODE_KIND_BIAS:
      return base::Cat(separator, "bias");
    case v1::ATTRIBUTION_NODE_KIND_EMBEDDING:
      return "";
    default:
      return base::Cat(":", node.index());
  }
}

}  // namespace

std::string_view PartName(v1::AttributionPart part) {
  switch (part) {
    case v1::ATTRIBUTION_PART_EMBEDDING:
      return "embed";
    case v1::ATTRIBUTION_PART_Q:
      return "q";
    case v1::ATTRIBUTION_PART_K:
      return "k";
    case v1::ATTRIBUTION_PART_V:
      return "v";
    case v1::ATTRIBUTION_PART_QKV:
      return "qkv";
    case v1::ATTRIBUTION_PART_O:
      return "o";
    case v1::ATTRIBUTION_PART_GATE:
      return "gate";
    case v1::ATTRIBUTION_PART_UP:
      return "up";
    case v1::ATTRIBUTION_PART_DOWN:
      return "down";
    case v1::ATTRIBUTION_PART_HEADS:
      return "head";
    case v1::ATTRIBUTION_PART_NEURONS:
      return "neuron";
    case v1::ATTRIBUTION_PART_LOGITS:
      return "logit";
    default:
      return "node";
  }
}

std::string FullName(const GraphView& view, int node) {
  const v1::AttributionNode& it = view.node(node);
  const std::string& site = view.site(node).name();
  switch (it.kind()) {
    case v1::ATTRIBUTION_NODE_KIND_LOGIT:
      return it.token().text();
    case v1::ATTRIBUTION_NODE_KIND_HEAD:
      return base::Cat(site, "#head=", it.index());
    case v1::ATTRIBUTION_NODE_KIND_NEURON:
      return base::Cat(site, "#neuron=", it.index());
    default:
      return site + Suffix(it, " ");
  }
}

std::string ShortName(const GraphView& view, int node) {
  const v1::AttributionNode& it = view.node(node);
  if (it.kind() == v1::ATTRIBUTION_NODE_KIND_LOGIT) return it.token().text();
  const v1::AttributionSite& site = view.site(node);
  const std::string layer =
      site.layer() < 0 ? std::string() : base::Cat("L", site.layer(), ".");
  return base::Cat(layer, PartName(site.part()), Suffix(it, "."));
}

absl::StatusOr<int> FindNode(const GraphView& view, std::string_view name) {
  for (int i = 0; i < view.num_nodes(); ++i) {
    if (name == base::Cat(FullName(view, i), "@", view.node(i).position())) {
      return i;
    }
  }
  return base::Error(
      absl::StatusCode::kNotFound,
      base::Cat("the graph has no node ", name,
                ": want MODULE:INDEX@POSITION as it prints"),
      {.reason = "NODE_NOT_FOUND", .metadata = {{"node", std::string(name)}}});
}

std::string PromptText(const v1::AttributionHeader& header) {
  bool keeps_spaces = false;
  for (const v1::Token& token : header.prompt()) {
    keeps_spaces = keeps_spaces || token.text().starts_with(' ');
  }
  std::string text;
  for (const v1::Token& token : header.prompt()) {
    if (!text.empty() && !keeps_spaces) text += ' ';
    text += token.text();
  }
  return text;
}

}  // namespace spar::client
