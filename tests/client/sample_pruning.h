// One pruning, made by hand, for the tests of what is said and saved of it.
#pragma once

#include <string>
#include <vector>

#include "client/prune_answer.h"

namespace spar::client {

inline void AddNode(v1::PrunedRow& row, int site, int position, int index) {
  v1::PrunedNodes& nodes = *row.mutable_nodes();
  nodes.add_sites(site);
  nodes.add_positions(position);
  nodes.add_subcomponents(index);
  nodes.add_importances(0.75f);
}

inline v1::PruneReading Reading(double cross_entropy, double margin) {
  v1::PruneReading reading;
  reading.set_cross_entropy(cross_entropy);
  reading.set_kl_divergence(cross_entropy / 2);
  reading.set_probability(0.5);
  reading.set_margin(margin);
  return reading;
}

// "the capital of japan is", read after "japan": " city" at the prices 0.01,
// 0.1 and 1 with 4, 2 and 1 nodes of h.0.attn.q_proj, h.1.mlp.c_fc and wte. The
// smallest that says it has 2.
inline v1::PruneResponse SampleHeader(int num_prompts = 1) {
  v1::PruneResponse message;
  v1::PruneHeader& header = *message.mutable_header();
  header.set_model("models/demo");
  header.set_model_digest("ab12");
  header.set_decomposition("main");
  header.set_decomposition_digest("cd34");
  const auto add_site = [&header](v1::AttributionPart part, int layer,
                                  const char* name) {
    v1::AttributionSite& site = *header.add_sites();
    site.set_part(part);
    site.set_layer(layer);
    site.set_name(name);
  };
  add_site(v1::ATTRIBUTION_PART_EMBEDDING, -1, "wte");
  add_site(v1::ATTRIBUTION_PART_Q, 0, "h.0.attn.q_proj");
  add_site(v1::ATTRIBUTION_PART_UP, 1, "h.1.mlp.c_fc");
  for (int i = 0; i < num_prompts; ++i) {
    v1::PrunedPrompt& prompt = *header.add_prompts();
    for (const char* const word : {"the", "capital", "of", "japan", "is"}) {
      v1::Token& token = *prompt.add_tokens();
      token.set_id(10 + prompt.tokens_size());
      token.set_text(word);
    }
    prompt.set_position(3);
  }
  for (const double price : {0.01, 0.1, 1.0}) header.add_coefficients(price);
  header.mutable_options()->set_loss(v1::PRUNE_LOSS_CROSS_ENTROPY);
  return message;
}

inline v1::PruneResponse SampleRow(int coefficient, int prompt = 0) {
  v1::PruneResponse message;
  v1::PrunedRow& row = *message.mutable_row();
  row.set_prompt_index(prompt);
  row.set_coefficient_index(coefficient);
  row.mutable_target()->set_id(42);
  row.mutable_target()->set_text(" city");
  row.set_start_node_count(120);
  if (coefficient < 2) {
    AddNode(row, 1, 3, 7);
    AddNode(row, 2, 1, 2);
  }
  if (coefficient == 0) {
    AddNode(row, 2, 3, 0);
    AddNode(row, 1, 1, 5);
  }
  if (coefficient == 2) AddNode(row, 0, 0, 3);
  row.set_node_count(row.nodes().sites_size());
  row.set_mean_l0(row.nodes().sites_size() / 4.0);
  row.set_step_count(200);
  *row.mutable_target_run() = Reading(0.01, 5);
  *row.mutable_masked_run() =
      Reading(0.25 * (1 + coefficient), 3 - coefficient);
  *row.mutable_rounded_run() =
      Reading(0.5 * (1 + coefficient), 2 - 1.5 * coefficient);
  return message;
}

inline v1::PruneResponse SampleSummary(int num_prompts = 1) {
  v1::PruneResponse message;
  v1::PruneSummary& summary = *message.mutable_summary();
  for (int i = 0; i < num_prompts; ++i) {
    v1::PruneCurve& curve = *summary.add_curves();
    curve.set_prompt_index(i);
    for (const int coefficient : {2, 1, 0}) {
      const v1::PruneResponse message_of_row = SampleRow(coefficient, i);
      const v1::PrunedRow& row = message_of_row.row();
      v1::PruneCurvePoint& point = *curve.add_points();
      point.set_coefficient_index(coefficient);
      point.set_node_count(row.node_count());
      point.set_cross_entropy(row.rounded_run().cross_entropy());
      point.set_kl_divergence(row.rounded_run().kl_divergence());
      point.set_margin(row.rounded_run().margin());
      point.set_on_frontier(true);
    }
  }
  summary.mutable_elapsed()->set_seconds(3);
  return message;
}

// Of units {1, 11}: nodes at position 0 and 1 where a position has 10 numbers.
inline v1::PruneResponse SampleRowExplanation(int coefficient) {
  v1::PruneResponse message;
  v1::PrunedExplanation& pruned = *message.mutable_explanation();
  pruned.set_coefficient_index(coefficient);
  v1::Explanation& explanation = *pruned.mutable_explanation();
  explanation.set_verdict(v1::VERDICT_CRYSTALLIZED);
  for (const int id : {11, 12, 13, 14}) explanation.add_prompt()->set_id(id);
  explanation.mutable_target()->set_id(42);
  for (const int index : {1, 3}) explanation.add_positions()->set_index(index);
  explanation.add_unit_id_deltas(1);
  explanation.add_unit_id_deltas(10);
  explanation.set_kept_unit_count(2);
  explanation.mutable_certificate()->set_canonical_json(
      R"({"unit_scheme":"node+delta"})");
  return message;
}

inline std::vector<v1::PruneResponse> SampleMessages(int num_prompts = 1) {
  std::vector<v1::PruneResponse> messages = {SampleHeader(num_prompts)};
  messages.emplace_back().mutable_progress()->set_row_count(3);
  for (int i = 0; i < num_prompts; ++i) {
    for (const int coefficient : {1, 2, 0}) {
      messages.push_back(SampleRow(coefficient, i));
    }
  }
  messages.push_back(SampleSummary(num_prompts));
  return messages;
}

inline absl::StatusOr<PruneAnswer> ReadAll(
    const std::vector<v1::PruneResponse>& messages) {
  PruneReader reader;
  for (const v1::PruneResponse& message : messages) {
    const absl::Status added = reader.Add(message);
    if (!added.ok()) return added;
  }
  return std::move(reader).Finish();
}

}  // namespace spar::client
