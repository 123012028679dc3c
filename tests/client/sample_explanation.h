// One explanation, made by hand, for the tests of its text.
#pragma once

#include <string>

#include "spar/v1/explanation_service.pb.h"
#include "spar/v1/model_service.pb.h"

namespace spar::client {

inline v1::Model SampleModel() {
  v1::Model model;
  model.set_name("models/demo");
  model.set_family("llama_simple_mlp");
  model.set_digest("ab12");
  model.set_layer_count(2);
  model.set_width(8);
  model.set_head_count(4);
  model.set_neuron_count(32);
  model.set_vocab_size(2000);
  model.set_context_length(64);
  model.set_parameter_count(1234567);
  model.set_dtype("float32");
  model.set_device("cpu");
  model.set_unit_count(72);
  model.set_noise_floor(1.2e-6);
  model.set_has_reference_prompts(true);
  return model;
}

inline void AddUnit(v1::Explanation& explanation,
                    int layer,
                    const std::string& kind,
                    int index) {
  v1::Unit& unit = *explanation.add_units();
  unit.set_layer(layer);
  unit.set_kind(kind);
  unit.set_index(index);
  const std::string module = kind == "head" ? "attn" : "mlp";
  unit.set_name("h." + std::to_string(layer) + "." + module + "#" + kind + "=" +
                std::to_string(index));
  explanation.set_kept_unit_count(explanation.units_size());
}

inline void AddPosition(v1::Explanation& explanation, int index) {
  v1::Position& position = *explanation.add_positions();
  position.set_index(index);
  *position.mutable_token() = explanation.prompt(index);
}

// "the capital of japan is" -> "tokyo": T is {1, 3, 4}, S three units.
inline v1::Explanation SampleExplanation() {
  v1::Explanation explanation;
  explanation.set_verdict(v1::VERDICT_CRYSTALLIZED);
  for (const char* const word : {"the", "capital", "of", "japan", "is"}) {
    explanation.add_prompt()->set_text(word);
  }
  explanation.mutable_target()->set_text("tokyo");
  for (const int index : {1, 3, 4}) AddPosition(explanation, index);
  AddUnit(explanation, 0, "head", 2);
  AddUnit(explanation, 1, "neuron", 5);
  AddUnit(explanation, 1, "neuron", 31);
  explanation.set_unit_count(72);
  explanation.set_parameter_share(0.0123);
  explanation.set_margin(2.5);
  explanation.set_full_margin(4.0);
  explanation.set_empty_margin(-1.25);
  explanation.mutable_precision()->set_value(0.93);
  explanation.mutable_precision()->set_low(0.90);
  explanation.mutable_precision()->set_high(0.96);
  explanation.mutable_precision()->set_sample_count(256);
  explanation.set_telling(true);
  explanation.set_remark("Sufficient and telling.");
  explanation.mutable_certificate()->set_required_margin(2.0);
  v1::Effort& effort = *explanation.mutable_effort();
  effort.set_row_count(1204);
  effort.set_gradient_row_count(32);
  effort.set_round_count(17);
  effort.mutable_elapsed()->set_nanos(410'000'000);
  return explanation;
}

}  // namespace spar::client
