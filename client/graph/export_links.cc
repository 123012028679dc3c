#include "client/graph/export_links.h"

#include <cstdio>
#include <span>

#include "client/graph/node_names.h"

#include "base/status.h"

namespace spar::client {
namespace {

std::string Residual(std::string_view name,
                     const v1::IdentityResidual& residual) {
  if (residual.target_count() == 0) return "";
  char relative[32];
  std::snprintf(relative, sizeof relative, "%.1e", residual.relative());
  return base::Cat(" Identity of the ", name, ": worst residual ", relative,
                   " of the largest contribution, over ",
                   residual.target_count(), " targets.");
}

}  // namespace

void WritePrompt(const v1::AttributionHeader& header, JsonWriter& json) {
  json.Key("prompt_tokens");
  json.BeginArray();
  for (const v1::Token& token : header.prompt()) json.String(token.text());
  json.EndArray();
  json.Member("prompt", PromptText(header));
}

void WriteQueryParameters(JsonWriter& json) {
  json.Key("qParams");
  json.BeginObject();
  json.Key("pinnedIds");
  json.BeginArray();
  json.EndArray();
  json.Key("supernodes");
  json.BeginArray();
  json.EndArray();
  json.Member("linkType", "both");
  json.Member("clickedId", "");
  json.Member("sg_pos", "");
  json.EndObject();
}

void WriteNodePlace(const TracedNode& node, JsonWriter& json) {
  json.Member("node_id", node.id);
  json.Member("feature", node.feature);
  json.Member("layer", node.layer);
  json.Member("ctx_idx", node.position);
  json.Member("feature_type", node.type);
}

void WriteNodeMeaning(const GraphView& view,
                      const TracedNode& node,
                      int number,
                      JsonWriter& json) {
  json.Member("jsNodeId", node.js_id);
  json.Member("clerp", node.label);
  json.Key("influence");
  if (node.is_logit) {
    json.Null();
  } else {
    json.Number(node.cumulative);
  }
  json.Key("activation");
  if (node.is_feature) {
    json.Number(view.node(number).activation());
  } else {
    json.Null();
  }
}

void WriteLinks(const GraphView& view,
                const std::vector<TracedNode>& nodes,
                JsonWriter& json) {
  json.Key("links");
  json.BeginArray();
  for (int target = 0; target < view.num_nodes(); ++target) {
    const std::span<const int32_t> sources = view.edges().Sources(target);
    const std::span<const float> weights = view.edges().Weights(target);
    for (size_t i = 0; i < sources.size(); ++i) {
      json.BeginObject();
      json.Member("source", nodes[static_cast<size_t>(sources[i])].id);
      json.Member("target", nodes[static_cast<size_t>(target)].id);
      json.Member("weight", weights[i]);
      json.EndObject();
    }
  }
  json.EndArray();
}

std::string Provenance(const GraphView& view) {
  const v1::AttributionHeader& header = view.header();
  const v1::AttributionSummary& summary = view.message().summary();
  const v1::AttributeOptions& options = header.options();
  return base::Cat(
      "Direct-effect attribution graph of ", header.model(), " (",
      header.family(), ", digest ", header.model_digest(), ")",
      header.decomposition().empty()
          ? std::string(", heads and neurons")
          : base::Cat(", decomposition ", header.decomposition()),
      ", ", header.dtype(), " on ", header.device(), ". Norm: ",
      options.norm() == v1::NORM_GRADIENT_FROZEN ? "frozen" : "full",
      "; importance factor: ", options.importance_factor() ? "on" : "off",
      "; run: ",
      options.run() == v1::ATTRIBUTED_RUN_IMPORTANCE ? "importance-masked"
      : options.run() == v1::ATTRIBUTED_RUN_LISTED   ? "listed nodes alone"
                                                     : "the target model",
      ". ", summary.edge_count(), " edges; left out ", summary.below_count(),
      " as too small and ", summary.cut_count(),
      " beyond the limit of a target.", Residual("stream", summary.stream()),
      Residual("values", summary.values()));
}

}  // namespace spar::client
