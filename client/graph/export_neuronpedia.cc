// L5. Neuronpedia's graph JSON, schema version 1.0.0.
#include <string>
#include <string_view>
#include <vector>

#include "client/graph/export_links.h"
#include "client/graph/exports.h"
#include "client/graph/json_writer.h"
#include "client/graph/traced_nodes.h"

#include "base/status.h"

namespace spar::client {
namespace {

void WriteGenerator(const v1::AttributionHeader& header, JsonWriter& json) {
  const std::string_view generator = header.generator();
  const size_t space = generator.find(' ');
  json.Key("generator");
  json.BeginObject();
  json.Member("name", generator.substr(0, space));
  json.Member("version", space == generator.npos ? std::string_view()
                                                 : generator.substr(space + 1));
  json.EndObject();
}

void WriteInfo(const GraphView& view, JsonWriter& json) {
  const v1::AttributionHeader& header = view.header();
  json.Key("info");
  json.BeginObject();
  json.Member("description", Provenance(view));
  WriteGenerator(header, json);
  json.Member("create_time_ms", header.create_time().seconds() * 1000 +
                                    header.create_time().nanos() / 1'000'000);
  json.EndObject();
}

void WriteSettings(const v1::AttributionHeader& header, JsonWriter& json) {
  const v1::AttributeOptions& options = header.options();
  json.Key("generation_settings");
  json.BeginObject();
  json.Member("max_n_logits", options.logit_rule().max_count());
  json.Member("min_importance", options.node_rule().min_importance());
  json.Member("norm", v1::NormGradient_Name(options.norm()));
  json.Member("importance_factor", options.importance_factor());
  json.Member("run", v1::AttributedRun_Name(options.run()));
  json.EndObject();
  json.Key("pruning_settings");
  json.BeginObject();
  json.Member("min_magnitude", options.edge_rule().min_magnitude());
  json.Member("max_per_target", options.edge_rule().max_per_target());
  json.EndObject();
}

void WriteNeuronpediaNode(const GraphView& view,
                          const TracedNode& node,
                          int number,
                          JsonWriter& json) {
  json.BeginObject();
  WriteNodePlace(node, json);
  WriteNodeMeaning(view, node, number, json);
  if (node.is_logit) {
    json.Member("token_prob", view.node(number).importance());
    json.Member("is_target_logit", number == view.target());
  }
  json.EndObject();
}

}  // namespace

std::string GraphToNeuronpedia(const GraphView& view) {
  const std::vector<TracedNode> nodes = TracedNodes(view, "bias");
  JsonWriter json;
  json.BeginObject();
  json.Key("metadata");
  json.BeginObject();
  json.Member("slug", base::Cat("spar-", GraphDigest(view.header())));
  json.Member("scan", ScanName(view.header()));
  json.Member("schema_version", 1);
  WritePrompt(view.header(), json);
  WriteInfo(view, json);
  WriteSettings(view.header(), json);
  json.EndObject();
  WriteQueryParameters(json);
  json.Key("nodes");
  json.BeginArray();
  for (int i = 0; i < view.num_nodes(); ++i) {
    WriteNeuronpediaNode(view, nodes[static_cast<size_t>(i)], i, json);
  }
  json.EndArray();
  WriteLinks(view, nodes, json);
  json.EndObject();
  return json.Take() + "\n";
}

}  // namespace spar::client
