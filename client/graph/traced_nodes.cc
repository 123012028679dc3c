#include "client/graph/traced_nodes.h"

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "client/graph/node_names.h"
#include "client/text.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr int64_t kParts = 16;

// See Note [Feature numbers].
int64_t NumberOf(const v1::AttributionNode& node, v1::AttributionPart part) {
  switch (node.kind()) {
    case v1::ATTRIBUTION_NODE_KIND_DELTA:
      return -(2 * int64_t{part} + 1);
    case v1::ATTRIBUTION_NODE_KIND_BIAS:
      return -(2 * int64_t{part} + 2);
    default:
      return kParts * node.index() + part;
  }
}

TracedNode Embedding(const v1::AttributionNode& node) {
  TracedNode traced;
  traced.id = base::Cat("E_", node.token().id(), "_", node.position());
  traced.js_id = base::Cat("E_", node.token().id(), "-", node.position());
  traced.feature = node.position();
  traced.layer = std::string("E");
  traced.type = "embedding";
  traced.label = base::Cat("Emb: \"", node.token().text(), "\"");
  return traced;
}

TracedNode Logit(const v1::AttributionNode& node, int num_layers) {
  TracedNode traced;
  traced.layer = std::to_string(num_layers + 1);
  traced.id = base::Cat(traced.layer, "_", node.index(), "_", node.position());
  traced.js_id = base::Cat("L_", node.index(), "-", node.position());
  traced.feature = node.index();
  traced.type = "logit";
  traced.is_logit = true;
  traced.label = base::Cat("Output \"", node.token().text(),
                           "\" (p=", Printed("%.3f", node.importance()), ")");
  return traced;
}

TracedNode Inner(const GraphView& view,
                 int number,
                 std::string_view bias_type) {
  const v1::AttributionNode& node = view.node(number);
  const v1::AttributionSite& site = view.site(number);
  const int layer = std::max(0, site.layer());
  const int64_t feature = NumberOf(node, site.part());
  TracedNode traced;
  traced.layer = std::to_string(layer);
  traced.id = base::Cat(layer, "_", feature, "_", node.position());
  traced.label = FullName(view, number);
  traced.is_feature = feature >= 0;
  if (traced.is_feature) {
    traced.js_id = base::Cat(layer, "_", feature, "-0");
    traced.feature = CantorPair(layer, feature);
    traced.type = "cross layer transcoder";
  } else {
    traced.js_id = base::Cat(layer, "_", feature, "-", node.position());
    traced.feature = feature;
    traced.type = node.kind() == v1::ATTRIBUTION_NODE_KIND_BIAS
                      ? bias_type
                      : "mlp reconstruction error";
  }
  return traced;
}

}  // namespace

int64_t CantorPair(int64_t x, int64_t y) {
  return (x + y) * (x + y + 1) / 2 + y;
}

std::vector<TracedNode> TracedNodes(const GraphView& view,
                                    std::string_view bias_type) {
  const std::vector<double> cumulative = Cumulative(view);
  std::vector<TracedNode> nodes;
  for (int i = 0; i < view.num_nodes(); ++i) {
    const v1::AttributionNode& node = view.node(i);
    switch (node.kind()) {
      case v1::ATTRIBUTION_NODE_KIND_EMBEDDING:
        nodes.push_back(Embedding(node));
        break;
      case v1::ATTRIBUTION_NODE_KIND_LOGIT:
        nodes.push_back(Logit(node, view.header().layer_count()));
        break;
      default:
        nodes.push_back(Inner(view, i, bias_type));
    }
    nodes.back().position = node.position();
    nodes.back().cumulative = cumulative[static_cast<size_t>(i)];
  }
  return nodes;
}

std::vector<double> Cumulative(const GraphView& view) {
  std::vector<int> order(static_cast<size_t>(view.num_nodes()));
  std::iota(order.begin(), order.end(), 0);
  const auto& shares = view.shares();
  std::stable_sort(order.begin(), order.end(),
                   [&shares](int a, int b) { return shares[a] > shares[b]; });
  const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
  std::vector<double> cumulative(order.size(), 0.0);
  double sum = 0;
  for (const int node : order) {
    sum += shares[node];
    cumulative[static_cast<size_t>(node)] =
        total > 0 ? std::min(sum / total, 1.0) : 1.0;
  }
  return cumulative;
}

std::string GraphDigest(const v1::AttributionHeader& header) {
  std::string text =
      base::Cat(header.model_digest(), "|", header.decomposition(), "|");
  for (const v1::Token& token : header.prompt()) {
    text += base::Cat(token.id(), ",");
  }
  text += base::Cat("|", header.options().SerializeAsString());
  // FNV-1a, 64 bits.
  uint64_t digest = 0xcbf29ce484222325u;
  for (const char c : text) {
    digest = (digest ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  char buffer[17];
  std::snprintf(buffer, sizeof buffer, "%016llx",
                static_cast<unsigned long long>(digest));
  return buffer;
}

std::string ScanName(const v1::AttributionHeader& header) {
  constexpr std::string_view kCollection = "models/";
  std::string_view model = header.model();
  if (model.starts_with(kCollection)) model.remove_prefix(kCollection.size());
  if (header.decomposition().empty()) return std::string(model);
  return base::Cat(model, "-", header.decomposition());
}

}  // namespace spar::client
