#include "server/service/pruning_to_proto.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "server/service/decomposition_to_proto.h"
#include "server/service/limits.h"
#include "server/service/pruning_words.h"
#include "server/service/to_proto.h"

namespace spar::service {
namespace {

void SetOptions(const models::PruneRequest& from, v1::PruneOptions* to) {
  to->set_loss(
      static_cast<v1::PruneLoss>(EnumToProto(kPruneLosses, from.loss)));
  to->set_weight(from.weight);
  to->set_masks(
      static_cast<v1::PruneMasks>(EnumToProto(kPruneMasks, from.masks)));
  if (from.adversary.has_value()) {
    v1::PruneAdversary* const adversary = to->mutable_adversary();
    adversary->set_step_count(from.adversary->steps);
    adversary->set_step_size(from.adversary->step_size);
    adversary->set_restart_count(from.adversary->restarts);
    adversary->set_weight(from.adversary->weight);
  }
  v1::PruneNorm* const norm = to->mutable_norm();
  norm->set_power(from.norm.power);
  if (from.norm.final_power.has_value()) {
    norm->set_final_power(*from.norm.final_power);
  }
  norm->set_anneal_begin(from.norm.anneal_begin);
  norm->set_anneal_end(from.norm.anneal_end);
  norm->set_beta(from.norm.beta);
  norm->set_by_sum(!from.norm.per_position);
  to->set_step_count(from.steps);
  to->set_learning_rate(from.rate.rate);
  to->set_rate_shape(static_cast<v1::PruneRateShape>(
      EnumToProto(kRateShapes, from.rate.shape)));
  to->set_final_rate_share(from.rate.final_share);
  to->set_warmup_share(from.rate.warmup);
  to->set_start(
      static_cast<v1::PruneStart>(EnumToProto(kPruneStarts, from.start)));
  to->set_alive_threshold(from.alive_threshold);
  to->set_rounding_threshold(from.rounding_threshold);
  to->set_stop_patience(from.stop.patience);
  to->set_stop_change(from.stop.change);
  to->set_seed(from.seed);
}

void LossesToProto(const models::PruneLosses& from, v1::PruneLosses* to) {
  to->set_masked(from.masked);
  to->set_attacked(from.attacked);
  to->set_price(from.price);
  to->set_total(from.total);
}

void ReadingToProto(const models::PruneReading& from, v1::PruneReading* to) {
  to->set_kl_divergence(from.kl);
  to->set_cross_entropy(from.cross_entropy);
  to->set_probability(from.probability);
  to->set_margin(from.margin);
}

void NodesToProto(const std::vector<models::PrunedNode>& from,
                  v1::PrunedNodes* to) {
  for (const models::PrunedNode& node : from) {
    to->add_sites(node.module);
    to->add_positions(node.position);
    to->add_subcomponents(node.component);
    to->add_importances(node.importance);
  }
}

// Infinite where the run said nothing: points are sorted by it.
double LossOf(const models::PruneRequest& request,
              const models::PruneReading& reading) {
  const double loss = request.loss == models::PruneLoss::kCrossEntropy
                          ? reading.cross_entropy
                          : reading.kl;
  return std::isnan(loss) ? std::numeric_limits<double>::infinity() : loss;
}

// points: of one prompt, by size, then by loss. Those of one size and loss are
// on the frontier together.
void SetCurve(const models::PruneRequest& request,
              std::span<const PrunedPoint> points,
              v1::PruneCurve* to) {
  to->set_prompt_index(points.front().prompt);
  double least = std::numeric_limits<double>::infinity();
  int64_t size_of_least = -1;
  for (const PrunedPoint& from : points) {
    v1::PruneCurvePoint* const point = to->add_points();
    point->set_coefficient_index(from.coefficient);
    point->set_node_count(from.num_nodes);
    point->set_cross_entropy(from.rounded.cross_entropy);
    point->set_kl_divergence(from.rounded.kl);
    point->set_margin(from.rounded.margin);
    if (from.crystallized.has_value()) {
      point->set_crystallized_node_count(*from.crystallized);
    }
    const double loss = LossOf(request, from.rounded);
    const bool on_frontier =
        loss < least || (loss == least && from.num_nodes == size_of_least);
    point->set_on_frontier(on_frontier);
    if (!on_frontier) continue;
    least = loss;
    size_of_least = from.num_nodes;
  }
}

}  // namespace

void ToProto(const PruningContext& context, v1::PruneHeader* to) {
  const models::PruneRequest& request = context.request;
  const models::DecompositionInfo& decomposition = *context.decomposition;
  to->set_model(context.model->ResourceName());
  to->set_model_digest(context.model->explainer->info().digest);
  to->set_decomposition(decomposition.name);
  to->set_decomposition_digest(decomposition.digest);
  for (const models::DecomposedModule& module : decomposition.spec.modules) {
    v1::AttributionSite* const site = to->add_sites();
    site->set_part(ToProto(module.site));
    site->set_layer(module.layer);
    site->set_name(module.name);
  }
  for (const models::PrunePrompt& from : request.prompts) {
    v1::PrunedPrompt* const prompt = to->add_prompts();
    for (const models::TokenId token : from.tokens) {
      ToProto(token, *context.model->tokenizer, prompt->add_tokens());
    }
    prompt->set_position(from.position);
  }
  to->mutable_coefficients()->Assign(request.coefficients.begin(),
                                     request.coefficients.end());
  SetOptions(request, to->mutable_options());
}

void ToProto(const PruningContext& context,
             std::span<const models::PruneState> states,
             v1::PruneProgress* to) {
  int ended = 0;
  int64_t steps = 0;
  double begun = 0;
  double nodes = 0;
  models::PruneLosses sum;
  for (const models::PruneState& state : states) {
    steps += state.steps;
    if (state.ended) ++ended;
    if (state.steps == 0) continue;
    ++begun;
    nodes += static_cast<double>(state.size);
    sum.masked += state.losses.masked;
    sum.attacked += state.losses.attacked;
    sum.price += state.losses.price;
    sum.total += state.losses.total;
  }
  to->set_row_count(static_cast<int32_t>(states.size()));
  to->set_ended_row_count(ended);
  to->set_step_count(steps);
  to->set_max_step_count(std::ssize(states) * context.request.steps);
  if (begun == 0) return;
  to->set_mean_node_count(nodes / begun);
  LossesToProto({.masked = sum.masked / begun,
                 .attacked = sum.attacked / begun,
                 .price = sum.price / begun,
                 .total = sum.total / begun},
                to->mutable_mean_losses());
}

void ToProto(const PruningContext& context,
             const models::PrunedRow& row,
             v1::PrunedRow* to) {
  to->set_prompt_index(row.prompt);
  to->set_coefficient_index(row.coefficient);
  ToProto(row.target, *context.model->tokenizer, to->mutable_target());
  to->set_start_node_count(row.num_parameters);
  to->set_node_count(std::ssize(row.nodes));
  if (std::ssize(row.nodes) <= kMaxNodesOfRow) {
    NodesToProto(row.nodes, to->mutable_nodes());
  }
  to->set_mean_l0(row.l0);
  to->set_step_count(row.steps);
  to->set_stopped_early(row.stopped_early);
  LossesToProto(row.losses, to->mutable_losses());
  ReadingToProto(row.model, to->mutable_target_run());
  ReadingToProto(row.masked, to->mutable_masked_run());
  ReadingToProto(row.rounded, to->mutable_rounded_run());
  if (row.attacked.has_value()) {
    ReadingToProto(*row.attacked, to->mutable_attacked_run());
  }
}

void ToProto(const PruningContext& context,
             std::vector<PrunedPoint> points,
             v1::PruneSummary* to) {
  const models::PruneRequest& request = context.request;
  const auto key = [&request](const PrunedPoint& point) {
    return std::make_tuple(point.prompt, point.num_nodes,
                           LossOf(request, point.rounded), point.coefficient);
  };
  std::sort(points.begin(), points.end(),
            [&key](const PrunedPoint& a, const PrunedPoint& b) {
              return key(a) < key(b);
            });
  const std::span<const PrunedPoint> all = points;
  for (size_t begin = 0, end = 0; begin < all.size(); begin = end) {
    while (end < all.size() && all[end].prompt == all[begin].prompt) ++end;
    SetCurve(request, all.subspan(begin, end - begin), to->add_curves());
  }
}

}  // namespace spar::service
