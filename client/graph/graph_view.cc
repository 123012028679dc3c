#include "client/graph/graph_view.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <span>
#include <tuple>
#include <utility>

#include "base/status.h"
#include "graph/influence.h"
#include "graph/paths.h"
#include "graph/subgraph.h"

namespace spar::client {
namespace {

absl::Status BadGraph(std::string_view message) {
  return base::InvalidArgument("BAD_GRAPH", "", message);
}

absl::Status CheckNode(const v1::AttributionNode& node,
                       int number,
                       const v1::AttributionHeader& header) {
  if (node.site() < 0 || node.site() >= header.sites_size()) {
    return BadGraph(base::Cat("node ", number, " has site ", node.site(),
                              " of ", header.sites_size()));
  }
  if (node.position() < 0 || node.position() >= header.prompt_size()) {
    return BadGraph(base::Cat("node ", number, " has position ",
                              node.position(), " of ", header.prompt_size()));
  }
  if (node.index() < 0) {
    return BadGraph(base::Cat("node ", number, " has index ", node.index()));
  }
  if (!std::isfinite(node.activation()) || !std::isfinite(node.importance())) {
    return BadGraph(base::Cat("node ", number,
                              " has an activation or importance that is not "
                              "finite"));
  }
  return absl::OkStatus();
}

absl::Status CheckNodes(const v1::AttributionGraph& message) {
  std::set<std::tuple<int, int, int, int>> labels;
  for (int i = 0; i < message.nodes_size(); ++i) {
    const v1::AttributionNode& node = message.nodes(i);
    RETURN_IF_ERROR(CheckNode(node, i, message.header()));
    const bool is_new =
        labels.emplace(node.site(), node.kind(), node.index(), node.position())
            .second;
    if (!is_new) {
      return BadGraph(base::Cat("node ", i, " is there twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNumbers(const google::protobuf::RepeatedField<int32_t>& nodes,
                          int num_nodes,
                          std::string_view what) {
  for (const int32_t node : nodes) {
    if (node >= 0 && node < num_nodes) continue;
    return BadGraph(base::Cat(what, " names node ", node, " of ", num_nodes));
  }
  return absl::OkStatus();
}

absl::Status CheckValues(const google::protobuf::RepeatedField<double>& values,
                         int num_nodes,
                         std::string_view what) {
  if (values.size() != num_nodes) {
    return BadGraph(base::Cat("the answer has ", values.size(), " ", what,
                              " for ", num_nodes, " nodes"));
  }
  for (const double value : values) {
    if (!std::isfinite(value)) {
      return BadGraph(
          base::Cat("one of the answer's ", what, " is not finite"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckAnswer(const v1::AttributionAnswer& answer, int num_nodes) {
  if (answer.target_node() < 0 || answer.target_node() >= num_nodes) {
    return BadGraph(base::Cat("the answer is about node ", answer.target_node(),
                              " of ", num_nodes));
  }
  RETURN_IF_ERROR(CheckValues(answer.shares(), num_nodes, "shares"));
  RETURN_IF_ERROR(CheckValues(answer.effects(), num_nodes, "effects"));
  for (const v1::AttributionPath& path : answer.paths()) {
    RETURN_IF_ERROR(CheckNumbers(path.nodes(), num_nodes, "a path"));
    if (path.nodes_size() < 2 ||
        *path.nodes().rbegin() != answer.target_node()) {
      return BadGraph("a path does not lead to the answer's target");
    }
  }
  if (answer.has_source_node() &&
      (answer.source_node() < 0 || answer.source_node() >= num_nodes)) {
    return BadGraph(base::Cat("the answer's source is node ",
                              answer.source_node(), " of ", num_nodes));
  }
  return CheckNumbers(answer.nodes_between(), num_nodes, "the answer");
}

graph::Weighting WeightingOf(v1::PathWeighting weighting) {
  switch (weighting) {
    case v1::PATH_WEIGHTING_EFFECT:
      return graph::Weighting::kEffect;
    case v1::PATH_WEIGHTING_PRODUCT:
      return graph::Weighting::kProduct;
    default:
      return graph::Weighting::kShare;
  }
}

absl::Status CheckNumber(std::optional<int> node,
                         int num_nodes,
                         std::string_view field) {
  if (!node || (*node >= 0 && *node < num_nodes)) return absl::OkStatus();
  return base::InvalidArgument(
      "NODE_OUT_OF_RANGE", field,
      base::Cat(field, " is ", *node, ": want [0, ", num_nodes, ")"),
      {{"node", base::Cat(*node)}, {"node_count", base::Cat(num_nodes)}});
}

}  // namespace

absl::StatusOr<GraphView> GraphView::Make(v1::AttributionGraph message) {
  RETURN_IF_ERROR(CheckNodes(message));
  RETURN_IF_ERROR(
      CheckAnswer(message.summary().answer(), message.nodes_size()));
  std::vector<graph::EdgeBlock> blocks;
  for (const v1::AttributionEdges& edges : message.edges()) {
    graph::EdgeBlock& block = blocks.emplace_back();
    block.targets.assign(edges.targets().begin(), edges.targets().end());
    block.counts.assign(edges.source_counts().begin(),
                        edges.source_counts().end());
    block.sources.assign(edges.sources().begin(), edges.sources().end());
    block.weights.assign(edges.values().begin(), edges.values().end());
  }
  GraphView view;
  ASSIGN_OR_RETURN(view.labeled_.graph,
                   graph::Graph::Make(message.nodes_size(), blocks));
  for (const v1::Token& token : message.header().prompt()) {
    view.labeled_.tokens.push_back(token.id());
  }
  for (const v1::AttributionSite& site : message.header().sites()) {
    view.labeled_.sites.push_back(site.name());
  }
  for (const v1::AttributionNode& node : message.nodes()) {
    view.labeled_.labels.push_back(
        {node.site(), node.kind(), node.index(), node.position()});
    view.activations_.push_back(node.activation());
    view.importances_.push_back(node.importance());
  }
  view.message_ = std::move(message);
  return view;
}

absl::StatusOr<v1::AttributionAnswer> AnswerOf(const GraphView& view,
                                               const GraphQuestion& question) {
  RETURN_IF_ERROR(CheckNumber(question.target, view.num_nodes(), "target"));
  RETURN_IF_ERROR(CheckNumber(question.source, view.num_nodes(), "source"));
  const int target = question.target.value_or(view.target());
  const auto weights = [&view](graph::Weighting weighting) {
    return graph::WeightsOf(view.edges(), view.activations(), weighting);
  };
  v1::AttributionAnswer answer;
  answer.set_target_node(target);
  const std::vector<double> shares = graph::InfluenceOn(
      view.edges(), weights(graph::Weighting::kShare), target);
  const std::vector<double> effects = graph::InfluenceOn(
      view.edges(), weights(graph::Weighting::kEffect), target);
  answer.mutable_shares()->Assign(shares.begin(), shares.end());
  answer.mutable_effects()->Assign(effects.begin(), effects.end());
  answer.set_path_weighting(question.weighting);
  const std::vector<graph::Path> paths = graph::StrongestPaths(
      view.edges(), weights(WeightingOf(question.weighting)),
      {target, question.source, question.num_paths});
  for (const graph::Path& path : paths) {
    v1::AttributionPath* const to = answer.add_paths();
    to->mutable_nodes()->Assign(path.nodes.begin(), path.nodes.end());
    to->set_value(path.value);
    to->set_log_strength(path.log_strength);
  }
  if (question.source) {
    answer.set_source_node(*question.source);
    const graph::Subgraph between =
        graph::Between(view.edges(), *question.source, target);
    answer.mutable_nodes_between()->Assign(between.nodes.begin(),
                                           between.nodes.end());
  }
  return answer;
}

}  // namespace spar::client
