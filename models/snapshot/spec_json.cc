#include "models/snapshot/spec_json.h"

#include "nlohmann/json.hpp"

namespace spar::models {
namespace {

using Json = nlohmann::json;

const char* Name(NormKind norm) {
  return norm == NormKind::kLayerNorm ? "layer_norm" : "rms_norm";
}

const char* Name(Activation activation) {
  switch (activation) {
    case Activation::kGeluTanh:
      return "gelu_tanh";
    case Activation::kGeluErf:
      return "gelu_erf";
    case Activation::kSilu:
      return "silu";
    case Activation::kRelu:
      return "relu";
  }
  return "";
}

Json RotaryJson(const Rotary& rotary) {
  Json json = {{"dim", rotary.dim},
               {"theta", rotary.theta},
               {"adjacent_pairs", rotary.adjacent_pairs}};
  if (rotary.scaling == RopeScalingKind::kNone) return json;
  const bool llama3 = rotary.scaling == RopeScalingKind::kLlama3;
  json["scaling"] = llama3 ? "llama3" : "linear";
  json["factor"] = rotary.factor;
  if (llama3) {
    json["low_frequency_factor"] = rotary.low_frequency_factor;
    json["high_frequency_factor"] = rotary.high_frequency_factor;
    json["original_context"] = rotary.original_context;
  }
  return json;
}

}  // namespace

std::string SpecJson(const DecoderSpec& spec) {
  Json json = {{"family", spec.family},
               {"num_layers", spec.num_layers},
               {"width", spec.width},
               {"num_heads", spec.num_heads},
               {"num_kv_heads", spec.num_kv_heads},
               {"head_dim", spec.head_dim},
               {"mlp_width", spec.mlp_width},
               {"vocab_size", spec.vocab_size},
               {"context_length", spec.context_length},
               {"norm", Name(spec.norm)},
               {"norm_epsilon", spec.norm_epsilon},
               {"activation", Name(spec.activation)},
               {"gated_mlp", spec.gated_mlp},
               {"parallel_residual", spec.parallel_residual},
               {"tied_embeddings", spec.tied_embeddings}};
  if (spec.positions == PositionKind::kRotary) {
    json["rotary"] = RotaryJson(spec.rotary);
  }
  Json scales = Json::array();
  Json windows = Json::array();
  for (const LayerSpec& layer : spec.layers) {
    scales.push_back(layer.attention_scale);
    windows.push_back(layer.sliding_window);
  }
  json["attention_scales"] = std::move(scales);
  json["sliding_windows"] = std::move(windows);
  return json.dump();
}

}  // namespace spar::models
