// L5. The graph file that circuit-tracer's viewer reads.
#include <string>
#include <vector>

#include "client/graph/export_links.h"
#include "client/graph/exports.h"
#include "client/graph/json_writer.h"
#include "client/graph/traced_nodes.h"

#include "base/status.h"

namespace spar::client {
namespace {

void WriteMetadata(const GraphView& view, JsonWriter& json) {
  json.Key("metadata");
  json.BeginObject();
  json.Member("slug", base::Cat("spar-", GraphDigest(view.header())));
  // A name, not a number that differs from process to process.
  json.Member("scan", ScanName(view.header()));
  json.Key("transcoder_list");
  json.BeginArray();
  json.EndArray();
  WritePrompt(view.header(), json);
  json.Key("node_threshold");
  json.Null();
  json.Member("schema_version", 1);
  // Beyond their fields; their reader takes those it knows.
  json.Member("description", Provenance(view));
  json.EndObject();
}

void WriteTracerNode(const GraphView& view,
                     const TracedNode& node,
                     int number,
                     JsonWriter& json) {
  json.BeginObject();
  WriteNodePlace(node, json);
  json.Member("token_prob",
              node.is_logit ? view.node(number).importance() : 0.0f);
  json.Member("is_target_logit", number == view.target() && node.is_logit);
  json.Member("run_idx", 0);
  json.Member("reverse_ctx_idx", 0);
  WriteNodeMeaning(view, node, number, json);
  json.EndObject();
}

}  // namespace

std::string GraphToCircuitTracer(const GraphView& view) {
  const std::vector<TracedNode> nodes =
      TracedNodes(view, "mlp reconstruction error");
  JsonWriter json;
  json.BeginObject();
  WriteMetadata(view, json);
  WriteQueryParameters(json);
  json.Key("nodes");
  json.BeginArray();
  for (int i = 0; i < view.num_nodes(); ++i) {
    WriteTracerNode(view, nodes[static_cast<size_t>(i)], i, json);
  }
  json.EndArray();
  WriteLinks(view, nodes, json);
  json.EndObject();
  return json.Take() + "\n";
}

}  // namespace spar::client
