// One evaluation, made by hand, for the tests of what is said and saved of it.
#pragma once

#include <vector>

#include "spar/v1/evaluation.pb.h"

namespace spar::client {

// Two modules of 3 and 2 subcomponents, one subset with a name that Markdown
// and SVG could act on, one attack.
inline std::vector<v1::EvaluateResponse> SampleEvaluation() {
  std::vector<v1::EvaluateResponse> messages;
  v1::EvaluationHeader& header = *messages.emplace_back().mutable_header();
  header.set_name("models/demo/decompositions/main");
  header.set_digest("ab12");
  header.set_model_digest("cd34");
  for (const int count : {3, 2}) {
    v1::EvaluatedModule& module = *header.add_modules();
    module.set_name(count == 3 ? "h.0.attn.q_proj" : "h.0.mlp.<c_fc>");
    module.set_subcomponent_count(count);
  }
  header.set_row_count(12);
  header.set_token_count(1234);
  header.set_batch_count(2);
  header.mutable_options()->add_subsets()->set_name("only|<q>");
  v1::EvaluationAttack& attack = *header.mutable_options()->mutable_attack();
  attack.add_scopes(v1::EVALUATION_ATTACK_SCOPE_PER_DATAPOINT);
  attack.set_step_size(0.1);
  attack.set_restart_count(1);

  messages.emplace_back().mutable_progress()->set_step_count(1);
  v1::EvaluatedFaithfulness& faithfulness =
      *messages.emplace_back().mutable_faithfulness();
  for (int m = 0; m < 2; ++m) {
    faithfulness.add_modules()->set_relative(1e-4 * (m + 1));
  }
  faithfulness.mutable_all()->set_relative(1.5e-4);
  faithfulness.mutable_all()->set_delta_mean_square(3e-7);
  v1::EvaluatedSparsity& sparsity = *messages.emplace_back().mutable_sparsity();
  sparsity.set_mean_l0(1.5);
  sparsity.set_alive_count(3);
  sparsity.set_active_count(4);
  sparsity.set_subcomponent_count(5);
  for (int m = 0; m < 2; ++m) {
    v1::EvaluatedModuleSparsity& module =
        *messages.emplace_back().mutable_module_sparsity();
    module.set_module(m);
    module.set_mean_l0(m == 0 ? 1.25 : 0.25);
    module.set_alive_count(m == 0 ? 2 : 1);
    for (int c = 0; c < header.modules(m).subcomponent_count(); ++c) {
      module.add_densities(0.1f * static_cast<float>(c));
      module.add_mean_importances(0.05f * static_cast<float>(c));
    }
  }
  for (int table = 0; table < 2; ++table) {
    v1::EvaluatedReconstruction& reconstruction =
        *messages.emplace_back().mutable_reconstruction();
    if (table == 1) reconstruction.set_subset_index(0);
    for (int masks = 1; masks <= 7; ++masks) {
      v1::MaskedReading& reading = *reconstruction.add_readings();
      reading.set_masks(static_cast<v1::EvaluationMasks>(masks));
      reading.set_cross_entropy(2 + 0.5 * (masks - 1));
      reading.set_cross_entropy_difference(0.5 * (masks - 1));
      reading.set_cross_entropy_unrecovered((masks - 1) / 6.0);
      reading.set_kl_divergence(0.25 * (masks - 1));
    }
  }
  for (const auto masks : {v1::EVALUATION_MASKS_CAUSAL_IMPORTANCE,
                           v1::EVALUATION_MASKS_STOCHASTIC}) {
    v1::EvaluatedOutputErrors& errors =
        *messages.emplace_back().mutable_output_errors();
    errors.set_masks(masks);
    for (int m = 0; m < 2; ++m) {
      v1::OutputError& error = *errors.add_modules();
      error.set_mean_square_error(0.5);
      error.set_mean_square(m == 0 ? 2 : 0);
    }
    v1::EvaluatedPatternErrors& patterns =
        *messages.emplace_back().mutable_pattern_errors();
    patterns.set_masks(masks);
    patterns.add_layers(0.125);
    patterns.set_all(0.125);
  }
  for (int table = 0; table < 2; ++table) {
    v1::EvaluatedSparsityCurve& curve =
        *messages.emplace_back().mutable_sparsity_curve();
    if (table == 1) curve.set_subset_index(0);
    for (const double threshold : {0.0, 0.5}) {
      v1::SparsityPoint& point = *curve.add_points();
      point.set_threshold(threshold);
      point.set_mean_l0(1.5 - threshold);
      point.add_module_l0(1);
      point.add_module_l0(0.5 - threshold);
      point.set_active_parameter_count(12'345.4);
      point.set_cross_entropy(2.1 + threshold);
      point.set_cross_entropy_difference(0.1 + threshold);
      point.set_kl_divergence(threshold);
    }
  }
  v1::EvaluatedAttackCurve& curve =
      *messages.emplace_back().mutable_attack_curve();
  curve.set_scope(v1::EVALUATION_ATTACK_SCOPE_PER_DATAPOINT);
  for (const int steps : {1, 20}) {
    v1::EvaluatedAttackPoint& point = *curve.add_points();
    point.set_step_count(steps);
    point.set_kl_divergence(0.5 * steps);
    point.set_cross_entropy(3);
    point.set_cross_entropy_difference(1);
  }
  messages.emplace_back().mutable_summary()->mutable_elapsed()->set_seconds(75);
  return messages;
}

}  // namespace spar::client
