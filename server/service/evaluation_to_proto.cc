#include "server/service/evaluation_to_proto.h"

#include <variant>

#include "server/service/decomposition_to_proto.h"
#include "server/service/evaluation_words.h"
#include "server/service/limits.h"

namespace spar::service {
namespace {

using Messages = std::deque<v1::EvaluateResponse>;

v1::EvaluationMasks MasksToProto(models::EvaluationMasks masks) {
  return static_cast<v1::EvaluationMasks>(EnumToProto(kEvaluationMasks, masks));
}

v1::EvaluationAttackScope ScopeToProto(models::AttackScope scope) {
  return static_cast<v1::EvaluationAttackScope>(
      EnumToProto(kAttackScopes, scope));
}

void SetEvaluationOptions(const EvaluationContext& context,
                          v1::EvaluationOptions* to) {
  const models::EvaluationRequest& from = context.question.request;
  to->set_row_length(context.question.row_length);
  to->set_batch_row_count(from.batch_rows);
  to->set_alive_threshold(from.alive_threshold);
  to->set_alive_mean_importance(from.alive_mean);
  to->set_rounding_threshold(from.rounding_threshold);
  to->set_sample_count(from.samples);
  to->mutable_sweep_thresholds()->Assign(from.sweep.begin(), from.sweep.end());
  const auto& modules = context.decomposition.info->spec.modules;
  for (const models::EvaluationSubset& subset : from.subsets) {
    v1::EvaluationSubset* const named = to->add_subsets();
    named->set_name(subset.name);
    for (const int m : subset.modules) named->add_modules(modules[m].name);
  }
  if (from.attack.has_value()) {
    v1::EvaluationAttack* const attack = to->mutable_attack();
    attack->mutable_step_counts()->Assign(from.attack->step_counts.begin(),
                                          from.attack->step_counts.end());
    attack->set_step_size(from.attack->step_size);
    attack->set_restart_count(from.attack->restarts);
    for (const models::AttackScope scope : from.attack->scopes) {
      attack->add_scopes(ScopeToProto(scope));
    }
    attack->set_max_batch_count(from.attack->max_batches);
  }
  to->set_seed(from.seed);
}

void SetShare(const models::DeltaShare& from, v1::DeltaShare* to) {
  to->set_delta_mean_square(from.delta);
  to->set_weight_mean_square(from.weight);
  to->set_relative(from.relative());
}

// Each appends what one part is told as.
class PartMessages {
 public:
  PartMessages(const EvaluationContext& context, Messages& messages)
      : context_(context), messages_(messages) {}

  void operator()(const models::Faithfulness& from) {
    v1::EvaluatedFaithfulness* const to =
        messages_.emplace_back().mutable_faithfulness();
    for (const models::DeltaShare& module : from.modules) {
      SetShare(module, to->add_modules());
    }
    SetShare(from.all, to->mutable_all());
  }

  void operator()(const models::Sparsity& from) {
    v1::EvaluatedSparsity* const all =
        messages_.emplace_back().mutable_sparsity();
    all->set_subcomponent_count(
        context_.decomposition.info->spec.num_components());
    for (size_t m = 0; m < from.modules.size(); ++m) {
      const models::ModuleSparsity& module = from.modules[m];
      all->set_mean_l0(all->mean_l0() + module.mean_l0);
      all->set_alive_count(all->alive_count() + module.num_alive);
      all->set_active_count(all->active_count() + module.num_active);
      v1::EvaluatedModuleSparsity* const to =
          messages_.emplace_back().mutable_module_sparsity();
      to->set_module(static_cast<int32_t>(m));
      to->set_mean_l0(module.mean_l0);
      to->set_alive_count(module.num_alive);
      to->set_active_count(module.num_active);
      if (module.densities.size() > kMaxComponentsOfMessage) continue;
      to->mutable_mean_importances()->Assign(module.mean_importances.begin(),
                                             module.mean_importances.end());
      to->mutable_densities()->Assign(module.densities.begin(),
                                      module.densities.end());
    }
  }

  void operator()(const models::Reconstruction& from) {
    v1::EvaluatedReconstruction* const to =
        messages_.emplace_back().mutable_reconstruction();
    if (from.subset != models::kAllModules) to->set_subset_index(from.subset);
    for (const models::MaskedReading& reading : from.readings) {
      v1::MaskedReading* const row = to->add_readings();
      row->set_masks(MasksToProto(reading.masks));
      row->set_cross_entropy(reading.cross_entropy);
      row->set_cross_entropy_difference(reading.difference);
      if (reading.unrecovered.has_value()) {
        row->set_cross_entropy_unrecovered(*reading.unrecovered);
      }
      row->set_kl_divergence(reading.kl);
    }
  }

  void operator()(const models::OutputErrors& from) {
    v1::EvaluatedOutputErrors* const to =
        messages_.emplace_back().mutable_output_errors();
    const auto set = [](const models::OutputError& error, v1::OutputError* at) {
      at->set_mean_square_error(error.error);
      at->set_mean_square(error.clean);
    };
    to->set_masks(MasksToProto(from.masks));
    for (const models::OutputError& module : from.modules) {
      set(module, to->add_modules());
    }
    set(from.all, to->mutable_all());
  }

  void operator()(const models::PatternErrors& from) {
    v1::EvaluatedPatternErrors* const to =
        messages_.emplace_back().mutable_pattern_errors();
    to->set_masks(MasksToProto(from.masks));
    to->mutable_layers()->Assign(from.layers.begin(), from.layers.end());
    to->set_all(from.all);
  }

  void operator()(const models::SparsityCurve& from) {
    v1::EvaluatedSparsityCurve* const to =
        messages_.emplace_back().mutable_sparsity_curve();
    if (from.subset != models::kAllModules) to->set_subset_index(from.subset);
    for (const models::SparsityPoint& point : from.points) {
      v1::SparsityPoint* const at = to->add_points();
      at->set_threshold(point.threshold);
      at->set_mean_l0(point.mean_l0);
      at->mutable_module_l0()->Assign(point.module_l0.begin(),
                                      point.module_l0.end());
      at->set_active_parameter_count(point.active_parameters);
      at->set_cross_entropy(point.cross_entropy);
      at->set_cross_entropy_difference(point.difference);
      at->set_kl_divergence(point.kl);
    }
  }

  void operator()(const models::AttackCurve& from) {
    v1::EvaluatedAttackCurve* const to =
        messages_.emplace_back().mutable_attack_curve();
    to->set_scope(ScopeToProto(from.scope));
    for (const models::AttackPoint& point : from.points) {
      v1::EvaluatedAttackPoint* const at = to->add_points();
      at->set_step_count(point.steps);
      at->set_kl_divergence(point.kl);
      at->set_cross_entropy(point.cross_entropy);
      at->set_cross_entropy_difference(point.difference);
    }
    to->set_token_count(from.num_positions);
  }

 private:
  const EvaluationContext& context_;
  Messages& messages_;
};

}  // namespace

void ToProto(const EvaluationContext& context, v1::EvaluationHeader* to) {
  const models::DecompositionInfo& info = *context.decomposition.info;
  const models::EvaluationRequest& request = context.question.request;
  to->set_name(context.decomposition.ResourceName());
  to->set_digest(info.digest);
  to->set_model_digest(context.decomposition.model->explainer->info().digest);
  for (const models::DecomposedModule& from : info.spec.modules) {
    v1::EvaluatedModule* const module = to->add_modules();
    module->set_name(from.name);
    module->set_layer(from.layer);
    module->set_part(ToProto(from.site));
    module->set_subcomponent_count(from.num_components);
  }
  int64_t tokens = 0;
  for (const auto& row : request.rows) tokens += std::ssize(row);
  to->set_row_count(static_cast<int32_t>(request.rows.size()));
  to->set_token_count(tokens);
  to->set_batch_count(
      static_cast<int32_t>(models::EvaluationBatches(request).size()));
  SetEvaluationOptions(context, to->mutable_options());
}

void ToProto(const models::EvaluationState& state, v1::EvaluationProgress* to) {
  to->set_phase(static_cast<v1::EvaluationPhase>(
      EnumToProto(kEvaluationPhases, state.phase)));
  to->set_step_count(state.steps);
  to->set_max_step_count(state.max_steps);
}

void ToProto(const EvaluationContext& context,
             const models::EvaluationPart& part,
             Messages& messages) {
  std::visit(PartMessages(context, messages), part);
}

}  // namespace spar::service
