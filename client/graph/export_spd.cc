// L5. The graph of the spd app. Node keys are "layer:position:component", where
// layer is the checkpoint's module, or "wte" or "output".
//
// It has no nodes for Delta and biases: those and their edges are left out, and
// "omitted" counts them. Edges are all there, strongest first: the app's own
// cut at 5,000, of which only its log tells, is not made.
#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "client/graph/exports.h"
#include "client/graph/json_writer.h"
#include "client/graph/traced_nodes.h"

#include "base/status.h"

namespace spar::client {
namespace {

struct Edge {
  int source = 0;
  int target = 0;
  float value = 0;
};

bool IsLogit(const v1::AttributionNode& node) {
  return node.kind() == v1::ATTRIBUTION_NODE_KIND_LOGIT;
}

// A subcomponent, neuron or head.
bool IsComponent(const v1::AttributionNode& node) {
  return node.kind() == v1::ATTRIBUTION_NODE_KIND_SUBCOMPONENT ||
         node.kind() == v1::ATTRIBUTION_NODE_KIND_NEURON ||
         node.kind() == v1::ATTRIBUTION_NODE_KIND_HEAD;
}

std::optional<std::string> KeyOf(const GraphView& view, int number) {
  const v1::AttributionNode& node = view.node(number);
  switch (node.kind()) {
    case v1::ATTRIBUTION_NODE_KIND_DELTA:
    case v1::ATTRIBUTION_NODE_KIND_BIAS:
      return std::nullopt;
    case v1::ATTRIBUTION_NODE_KIND_EMBEDDING:
      return base::Cat("wte:", node.position(), ":0");
    case v1::ATTRIBUTION_NODE_KIND_LOGIT:
      return base::Cat("output:", node.position(), ":", node.index());
    default:
      return base::Cat(view.site(number).name(), ":", node.position(), ":",
                       node.index());
  }
}

struct Listed {
  std::vector<std::optional<std::string>> keys = {};  // [node]
  std::vector<Edge> edges = {};                       // strongest first
  int64_t nodes_omitted = 0;
  int64_t edges_omitted = 0;
};

Listed List(const GraphView& view) {
  Listed listed;
  for (int i = 0; i < view.num_nodes(); ++i) {
    listed.keys.push_back(KeyOf(view, i));
    listed.nodes_omitted += !listed.keys.back().has_value();
  }
  for (int target = 0; target < view.num_nodes(); ++target) {
    const std::span<const int32_t> sources = view.edges().Sources(target);
    const std::span<const float> weights = view.edges().Weights(target);
    for (size_t i = 0; i < sources.size(); ++i) {
      if (listed.keys[static_cast<size_t>(sources[i])] &&
          listed.keys[static_cast<size_t>(target)]) {
        listed.edges.push_back({sources[i], target, weights[i]});
      } else {
        ++listed.edges_omitted;
      }
    }
  }
  std::stable_sort(listed.edges.begin(), listed.edges.end(),
                   [](const Edge& a, const Edge& b) {
                     return std::abs(a.value) > std::abs(b.value);
                   });
  return listed;
}

void WriteEdges(const GraphView& view, const Listed& listed, JsonWriter& json) {
  json.Key("edges");
  json.BeginArray();
  for (const Edge& edge : listed.edges) {
    json.BeginObject();
    json.Member("src", *listed.keys[static_cast<size_t>(edge.source)]);
    json.Member("tgt", *listed.keys[static_cast<size_t>(edge.target)]);
    json.Member("val", edge.value);
    json.Member("is_cross_seq", view.node(edge.source).position() !=
                                    view.node(edge.target).position());
    json.EndObject();
  }
  json.EndArray();
}

// "position:token". The run that was taken apart has one probability a token;
// that of the model itself is known where it is that run.
void WriteOutputs(const GraphView& view, JsonWriter& json) {
  const v1::AttributedRun run = view.header().options().run();
  const bool is_target =
      run == v1::ATTRIBUTED_RUN_TARGET || run == v1::ATTRIBUTED_RUN_UNSPECIFIED;
  json.Key("outputProbs");
  json.BeginObject();
  for (int i = 0; i < view.num_nodes(); ++i) {
    const v1::AttributionNode& node = view.node(i);
    if (!IsLogit(node)) continue;
    json.Key(base::Cat(node.position(), ":", node.index()));
    json.BeginObject();
    json.Member("prob", node.importance());
    json.Member("logit", node.activation());
    json.Key("target_prob");
    is_target ? json.Number(node.importance()) : json.Null();
    json.Key("target_logit");
    is_target ? json.Number(node.activation()) : json.Null();
    json.Member("token", node.token().text());
    json.EndObject();
  }
  json.EndObject();
}

// Importances of embeddings are 1 and of outputs their probability, as there.
void WriteNodes(const GraphView& view, const Listed& listed, JsonWriter& json) {
  json.Key("nodeCiVals");
  json.BeginObject();
  for (int i = 0; i < view.num_nodes(); ++i) {
    const std::optional<std::string>& key = listed.keys[static_cast<size_t>(i)];
    if (key) json.Member(*key, view.node(i).importance());
  }
  json.EndObject();
  json.Key("nodeSubcompActs");
  json.BeginObject();
  for (int i = 0; i < view.num_nodes(); ++i) {
    if (!IsComponent(view.node(i))) continue;
    json.Member(*listed.keys[static_cast<size_t>(i)],
                view.node(i).activation());
  }
  json.EndObject();
}

}  // namespace

std::string GraphToSpd(const GraphView& view) {
  const Listed listed = List(view);
  float largest_activation = 0;
  int64_t num_components = 0;
  for (int i = 0; i < view.num_nodes(); ++i) {
    if (!IsComponent(view.node(i))) continue;
    ++num_components;
    largest_activation =
        std::max(largest_activation, std::abs(view.node(i).activation()));
  }
  JsonWriter json;
  json.BeginObject();
  // The app numbers the rows of its own table; 31 bits fit there.
  json.Member("id", static_cast<int64_t>(
                        std::stoull(GraphDigest(view.header()), nullptr, 16) &
                        0x7FFFFFFF));
  json.Member("graphType",
              view.header().options().nodes().empty() ? "standard" : "manual");
  json.Key("tokens");
  json.BeginArray();
  for (const v1::Token& token : view.header().prompt()) {
    json.String(token.text());
  }
  json.EndArray();
  WriteEdges(view, listed, json);
  WriteOutputs(view, json);
  WriteNodes(view, listed, json);
  json.Member("maxAbsAttr",
              listed.edges.empty() ? 0.0f : std::abs(listed.edges[0].value));
  json.Member("maxAbsSubcompAct", largest_activation);
  json.Member("l0_total", num_components);
  json.Key("omitted");
  json.BeginObject();
  json.Member("nodes", listed.nodes_omitted);
  json.Member("edges", listed.edges_omitted);
  json.EndObject();
  json.EndObject();
  return json.Take() + "\n";
}

}  // namespace spar::client
