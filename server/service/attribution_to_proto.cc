#include "server/service/attribution_to_proto.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "base/status.h"
#include "server/service/attribution_words.h"
#include "server/service/limits.h"
#include "server/service/to_proto.h"

namespace spar::service {
namespace {

constexpr char kGenerator[] = "spard " SPAR_VERSION;

void SetNodeRef(const models::NodeRef& from, v1::AttributionNodeRef* to) {
  to->set_part(
      static_cast<v1::AttributionPart>(EnumToProto(kSiteParts, from.part)));
  to->set_layer(from.layer);
  to->set_position(from.position);
  to->set_index(from.index);
}

// The request as it was read, defaults filled in.
void SetOptions(const models::AttributionRequest& from,
                v1::AttributeOptions* to) {
  to->set_norm(
      static_cast<v1::NormGradient>(EnumToProto(kNormGradients, from.norm)));
  to->set_importance_factor(from.importance_factor);
  to->set_run(
      static_cast<v1::AttributedRun>(EnumToProto(kAttributedRuns, from.run)));
  to->set_delta_mask(from.delta_mask);
  for (const models::NodeRef& node : from.nodes)
    SetNodeRef(node, to->add_nodes());
  v1::AttributionNodeRule& nodes = *to->mutable_node_rule();
  nodes.set_min_importance(from.rule.min_importance);
  nodes.set_max_subcomponent_count(from.rule.max_subcomponents);
  nodes.set_max_neuron_count(from.rule.max_neurons);
  for (const models::LogitRef& logit : from.logits) {
    v1::AttributionLogitRef* const ref = to->add_logits();
    ref->set_position(logit.position);
    ref->set_token_id(logit.token);
  }
  v1::AttributionLogitRule& logits = *to->mutable_logit_rule();
  logits.mutable_positions()->Assign(from.logit_rule.positions.begin(),
                                     from.logit_rule.positions.end());
  logits.set_min_probability(from.logit_rule.min_probability);
  logits.set_max_count(from.logit_rule.max_per_position);
  v1::AttributionEdgeRule& edges = *to->mutable_edge_rule();
  edges.set_min_magnitude(from.filter.min_magnitude);
  edges.set_max_per_target(from.filter.max_per_target);
  edges.set_with_zeros(!from.filter.without_zeros);
}

void SetResidual(const models::IdentityResidual& from,
                 v1::IdentityResidual* to) {
  to->set_worst(from.worst);
  to->set_relative(from.relative);
  to->set_target_count(from.targets);
}

void SetAnswer(const search::AttributionAnswer& from,
               v1::AttributionAnswer* to) {
  to->set_target_node(from.target);
  to->mutable_shares()->Assign(from.shares.begin(), from.shares.end());
  to->mutable_effects()->Assign(from.effects.begin(), from.effects.end());
  to->set_path_weighting(
      static_cast<v1::PathWeighting>(EnumToProto(kWeightings, from.weighting)));
  for (const graph::Path& path : from.paths) {
    v1::AttributionPath* const added = to->add_paths();
    added->mutable_nodes()->Assign(path.nodes.begin(), path.nodes.end());
    added->set_value(path.value);
    added->set_log_strength(path.log_strength);
  }
  if (from.source.has_value()) to->set_source_node(*from.source);
  to->mutable_nodes_between()->Assign(from.nodes_between.begin(),
                                      from.nodes_between.end());
}

}  // namespace

AttributionMessages::AttributionMessages(
    std::shared_ptr<const search::Attribution> graph,
    const search::AttributionQuestion& question,
    const ServedModel* model,
    std::chrono::system_clock::time_point now)
    : graph_(std::move(graph)),
      model_(model),
      tokens_(question.request.tokens) {
  const models::ModelInfo& info = model->explainer->info();
  header_.set_model(model->ResourceName());
  header_.set_model_digest(info.digest);
  header_.set_family(info.family);
  header_.set_decomposition(question.request.decomposition);
  header_.set_dtype(info.dtype);
  header_.set_device(info.device);
  header_.set_layer_count(info.num_layers);
  for (const models::TokenId token : tokens_) {
    ToProto(token, *model->tokenizer, header_.add_prompt());
  }
  SetOptions(question.request, header_.mutable_options());
  for (const models::AttributionSite& site : graph_->nodes.sites) {
    v1::AttributionSite* const to = header_.add_sites();
    to->set_part(
        static_cast<v1::AttributionPart>(EnumToProto(kSiteParts, site.part)));
    to->set_layer(site.layer);
    to->set_name(site.name);
  }
  header_.set_node_count(static_cast<int32_t>(graph_->nodes.nodes.size()));
  header_.set_generator(kGenerator);
  const auto nanos = std::chrono::duration_cast<std::chrono::nanoseconds>(
                         now.time_since_epoch())
                         .count();
  header_.mutable_create_time()->set_seconds(nanos / 1'000'000'000);
  header_.mutable_create_time()->set_nanos(
      static_cast<int32_t>(nanos % 1'000'000'000));
}

bool AttributionMessages::NodesLeft() const {
  return next_node_ < graph_->nodes.nodes.size();
}

bool AttributionMessages::EdgesLeft() const {
  return next_target_ < graph_->graph.num_nodes();
}

bool AttributionMessages::Next(v1::AttributeResponse* to) {
  to->Clear();
  if (stage_ == Stage::kNodes && !NodesLeft()) stage_ = Stage::kEdges;
  if (stage_ == Stage::kEdges) {
    SetEdges(to->mutable_edges());
    if (!to->edges().sources().empty()) return false;
    stage_ = Stage::kSummary;
  }
  switch (stage_) {
    case Stage::kHeader:
      *to->mutable_header() = header_;
      stage_ = Stage::kNodes;
      return false;
    case Stage::kNodes:
      SetNodes(to->mutable_nodes());
      return false;
    default:
      SetSummary(to->mutable_summary());
      return true;
  }
}

void AttributionMessages::SetNodes(v1::AttributionNodes* to) {
  for (int n = 0; n < kMaxNodesPerMessage && NodesLeft(); ++n, ++next_node_) {
    const models::AttributionNode& node = graph_->nodes.nodes[next_node_];
    v1::AttributionNode* const added = to->add_nodes();
    added->set_kind(static_cast<v1::AttributionNodeKind>(
        EnumToProto(kNodeKinds, node.kind)));
    added->set_site(node.site);
    added->set_position(node.position);
    added->set_index(node.index);
    added->set_activation(node.activation);
    added->set_importance(node.importance);
    if (node.kind == models::NodeKind::kLogit) {
      ToProto(node.index, *model_->tokenizer, added->mutable_token());
    } else if (node.kind == models::NodeKind::kEmbedding) {
      ToProto(tokens_[static_cast<size_t>(node.position)], *model_->tokenizer,
              added->mutable_token());
    }
  }
}

// Nodes without edges are passed over; a target may go on in the next message.
void AttributionMessages::SetEdges(v1::AttributionEdges* to) {
  while (EdgesLeft() && to->sources_size() < kMaxEdgesPerMessage) {
    const std::span<const int32_t> sources =
        graph_->graph.Sources(next_target_);
    const std::span<const float> weights = graph_->graph.Weights(next_target_);
    const size_t room =
        static_cast<size_t>(kMaxEdgesPerMessage - to->sources_size());
    const size_t end = std::min(sources.size(), next_source_ + room);
    if (end > next_source_) {
      to->add_targets(next_target_);
      to->add_source_counts(static_cast<int32_t>(end - next_source_));
    }
    for (; next_source_ < end; ++next_source_) {
      to->add_sources(sources[next_source_]);
      to->add_values(weights[next_source_]);
    }
    if (end == sources.size()) {
      ++next_target_;
      next_source_ = 0;
    }
  }
}

void AttributionMessages::SetSummary(v1::AttributionSummary* to) const {
  const models::AttributionSummary& from = graph_->summary;
  to->set_edge_count(from.edges);
  to->set_below_count(from.edges_below);
  to->set_cut_count(from.edges_cut);
  to->set_magnitude(from.magnitude);
  to->set_dropped_magnitude(from.dropped_magnitude);
  SetResidual(from.stream, to->mutable_stream());
  SetResidual(from.values, to->mutable_values());
  SetAnswer(graph_->answer, to->mutable_answer());
  SetDuration(graph_->seconds, to->mutable_elapsed());
}

}  // namespace spar::service
