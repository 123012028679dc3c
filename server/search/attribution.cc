#include "server/search/attribution.h"

#include <chrono>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "graph/influence.h"
#include "graph/subgraph.h"

namespace spar::search {
namespace {

using models::AttributionNode;
using models::AttributionSite;
using models::LogitRef;
using models::NodeKind;
using models::NodeRef;

absl::Status TooLarge(std::string_view what, int64_t count, int64_t limit) {
  return base::Error(
      absl::StatusCode::kResourceExhausted,
      base::Cat("the graph has more than ", limit, " ", what,
                ": ask for fewer nodes, or keep fewer edges of a target"),
      {.reason = "GRAPH_TOO_LARGE",
       .field = "options",
       .metadata = {{"what", std::string(what)},
                    {"count", base::Cat(count)},
                    {"limit", base::Cat(limit)}}});
}

// Keeps all that comes. Node numbers rise in the order of computation, which is
// the order that a triangular graph wants.
class Collector final : public models::AttributionSink {
 public:
  Collector(const AttributionLimits& limits, std::stop_token stop)
      : limits_(limits), stop_(std::move(stop)) {}

  absl::Status OnNodes(models::AttributionNodes nodes) override {
    const int64_t count = static_cast<int64_t>(nodes.nodes.size());
    if (count > limits_.max_nodes) {
      return TooLarge("nodes", count, limits_.max_nodes);
    }
    nodes_ = std::move(nodes);
    return Continue();
  }

  absl::Status OnEdges(models::EdgeBlock block) override {
    num_edges_ += static_cast<int64_t>(block.edges.size());
    if (num_edges_ > limits_.max_edges) {
      return TooLarge("edges", num_edges_, limits_.max_edges);
    }
    graph::EdgeBlock& edges = blocks_.emplace_back();
    edges.sources.reserve(block.edges.size());
    edges.weights.reserve(block.edges.size());
    for (const models::AttributionEdge& edge : block.edges) {
      if (edges.targets.empty() || edges.targets.back() != edge.target) {
        edges.targets.push_back(edge.target);
        edges.counts.push_back(0);
      }
      ++edges.counts.back();
      edges.sources.push_back(edge.source);
      edges.weights.push_back(edge.value);
    }
    return Continue();
  }

  models::AttributionNodes TakeNodes() { return std::move(nodes_); }
  absl::StatusOr<graph::Graph> MakeGraph(int num_nodes) const {
    return graph::Graph::Make(num_nodes, blocks_);
  }

 private:
  absl::Status Continue() const {
    if (!stop_.stop_requested()) return absl::OkStatus();
    return absl::CancelledError("the call was cancelled");
  }

  const AttributionLimits& limits_;
  const std::stop_token stop_;
  models::AttributionNodes nodes_;
  std::vector<graph::EdgeBlock> blocks_;
  int64_t num_edges_ = 0;
};

absl::Status NotInGraph(std::string_view field) {
  return base::InvalidArgument(
      "NODE_NOT_IN_GRAPH", field,
      base::Cat(field,
                " names a node that the graph does not have; name it in "
                "options too, or widen the rule that chooses nodes"));
}

absl::StatusOr<int> Find(const models::AttributionNodes& nodes,
                         const LogitRef& logit,
                         std::string_view field) {
  for (size_t i = 0; i < nodes.nodes.size(); ++i) {
    const AttributionNode& node = nodes.nodes[i];
    if (node.kind == NodeKind::kLogit && node.position == logit.position &&
        node.index == logit.token) {
      return static_cast<int>(i);
    }
  }
  return NotInGraph(field);
}

absl::StatusOr<int> Find(const models::AttributionNodes& nodes,
                         const NodeRef& ref,
                         std::string_view field) {
  for (size_t i = 0; i < nodes.nodes.size(); ++i) {
    const AttributionNode& node = nodes.nodes[i];
    const AttributionSite& site = nodes.sites[static_cast<size_t>(node.site)];
    const bool is_unit = node.kind == NodeKind::kSubcomponent ||
                         node.kind == NodeKind::kNeuron ||
                         node.kind == NodeKind::kHead;
    if (is_unit && site.part == ref.part && site.layer == ref.layer &&
        node.position == ref.position && node.index == ref.index) {
      return static_cast<int>(i);
    }
  }
  return NotInGraph(field);
}

// The most probable logit of the last position that has any, else the last
// node.
int DefaultTarget(const models::AttributionNodes& nodes) {
  int target = static_cast<int>(nodes.nodes.size()) - 1;
  const AttributionNode* best = nullptr;
  for (size_t i = 0; i < nodes.nodes.size(); ++i) {
    const AttributionNode& node = nodes.nodes[i];
    if (node.kind != NodeKind::kLogit) continue;
    const bool better =
        best == nullptr || node.position > best->position ||
        (node.position == best->position && node.importance > best->importance);
    if (!better) continue;
    best = &node;
    target = static_cast<int>(i);
  }
  return target;
}

absl::StatusOr<int> TargetOf(const models::AttributionNodes& nodes,
                             const AttributionQuery& query) {
  if (!query.target.has_value()) return DefaultTarget(nodes);
  if (const auto* const logit = std::get_if<LogitRef>(&*query.target)) {
    return Find(nodes, *logit, "query.logit");
  }
  return Find(nodes, std::get<NodeRef>(*query.target), "query.node");
}

absl::StatusOr<AttributionAnswer> Answer(const models::AttributionNodes& nodes,
                                         const graph::Graph& graph,
                                         const AttributionQuery& query) {
  AttributionAnswer answer;
  ASSIGN_OR_RETURN(answer.target, TargetOf(nodes, query));
  if (query.source.has_value()) {
    ASSIGN_OR_RETURN(answer.source, Find(nodes, *query.source, "query.source"));
  }
  std::vector<double> activations;
  for (const AttributionNode& node : nodes.nodes) {
    activations.push_back(node.activation);
  }
  const graph::PathWeights shares =
      graph::WeightsOf(graph, activations, graph::Weighting::kShare);
  answer.shares = graph::InfluenceOn(graph, shares, answer.target);
  const graph::PathWeights effects =
      graph::WeightsOf(graph, activations, graph::Weighting::kEffect);
  answer.effects = graph::InfluenceOn(graph, effects, answer.target);
  answer.weighting = query.weighting;
  answer.paths = graph::StrongestPaths(
      graph, graph::WeightsOf(graph, activations, query.weighting),
      {answer.target, answer.source, query.num_paths});
  if (answer.source.has_value()) {
    answer.nodes_between =
        graph::Between(graph, *answer.source, answer.target).nodes;
  }
  return answer;
}

}  // namespace

absl::StatusOr<Attribution> Attribute(models::Backend& backend,
                                      const AttributionQuestion& question,
                                      const AttributionLimits& limits,
                                      std::stop_token stop) {
  if (stop.stop_requested()) {
    return absl::CancelledError("the call was cancelled");
  }
  const auto start = std::chrono::steady_clock::now();
  Attribution attribution;
  Collector collector(limits, std::move(stop));
  ASSIGN_OR_RETURN(attribution.summary,
                   backend.Attribute(question.request, collector));
  attribution.nodes = collector.TakeNodes();
  if (attribution.nodes.nodes.empty()) {
    return absl::InternalError("the backend gave a graph without nodes");
  }
  ASSIGN_OR_RETURN(
      attribution.graph,
      collector.MakeGraph(static_cast<int>(attribution.nodes.nodes.size())));
  ASSIGN_OR_RETURN(
      attribution.answer,
      Answer(attribution.nodes, attribution.graph, question.query));
  attribution.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  return attribution;
}

}  // namespace spar::search
