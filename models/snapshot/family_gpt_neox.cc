// GPT-NeoX and Pythia: partial rotary positions, LayerNorm, q, k and v fused
// head by head, attention and MLP side by side or one after the other.
#include <cmath>

#include "base/status.h"
#include "models/snapshot/family_parts.h"
#include "models/snapshot/limits.h"
#include "models/snapshot/rotary_config.h"

namespace spar::models {
namespace {

LayerSpec ReadLayer(const std::string& module,
                    bool attention_bias,
                    const DecoderSpec& spec) {
  LayerSpec layer;
  layer.attention_module = module + ".attention";
  layer.mlp_module = module + ".mlp";
  layer.attention_norm = Linear(module + ".input_layernorm", true);
  const Affine qkv =
      Linear(layer.attention_module + ".query_key_value", attention_bias);
  layer.q = Part(qkv, spec.num_heads, 3, 0);
  layer.k = Part(qkv, spec.num_heads, 3, 1);
  layer.v = Part(qkv, spec.num_heads, 3, 2);
  layer.o = Linear(layer.attention_module + ".dense", attention_bias);
  layer.mlp_norm = Linear(module + ".post_attention_layernorm", true);
  layer.up = Linear(layer.mlp_module + ".dense_h_to_4h", true);
  layer.down = Linear(layer.mlp_module + ".dense_4h_to_h", true);
  layer.attention_scale = 1.0 / std::sqrt(static_cast<double>(spec.head_dim));
  return layer;
}

Rotary ReadNeoxRotary(ConfigReader& config, int head_dim) {
  RotaryFields fields;
  fields.theta = "rotary_emb_base";
  fields.partial = "rotary_pct";
  fields.default_partial = 0.25;
  fields.allows_partial = true;
  return ReadRotary(config, head_dim, fields);
}

DecoderSpec ReadGptNeox(ConfigReader& config, const std::string& prefix) {
  DecoderSpec spec;
  spec.num_layers = config.Int("num_hidden_layers", kLayersRange);
  spec.width = config.Int("hidden_size", kWidthRange);
  spec.num_heads = config.Int("num_attention_heads", kHeadsRange);
  spec.num_kv_heads = spec.num_heads;
  spec.head_dim =
      EvenHeadDim(config, "hidden_size", spec.width, spec.num_heads);
  spec.mlp_width = config.Int("intermediate_size", kMlpWidthRange);
  spec.vocab_size = config.Int("vocab_size", kVocabRange);
  spec.context_length = config.Int("max_position_embeddings", kContextRange);
  spec.norm = NormKind::kLayerNorm;
  spec.norm_epsilon =
      config.OptionalReal("layer_norm_eps", kEpsilonRange).value_or(1e-5);
  spec.activation = ReadActivation(config, "hidden_act", "gelu");
  spec.parallel_residual =
      config.OptionalBool("use_parallel_residual").value_or(true);
  spec.positions = PositionKind::kRotary;
  spec.rotary = ReadNeoxRotary(config, spec.head_dim);

  const bool bias = config.OptionalBool("attention_bias").value_or(true);
  spec.token_embedding.tensor = prefix + "embed_in.weight";
  spec.final_norm = Linear(prefix + "final_layer_norm", true);
  ReadTying(config, false, "embed_out.weight", &spec);
  for (int l = 0; l < spec.num_layers; ++l) {
    spec.layers.push_back(
        ReadLayer(base::Cat(prefix, "layers.", l), bias, spec));
  }
  return spec;
}

// Causal masks and rotary tables.
constexpr std::string_view kGptNeoxBuffers[] = {
    "layers.*.attention.bias",
    "layers.*.attention.masked_bias",
    "layers.*.attention.rotary_emb.inv_freq",
    "rotary_emb.inv_freq",
};

}  // namespace

constinit const Family kGptNeoxFamily = {
    .model_type = "gpt_neox",
    .prefix = "gpt_neox.",
    .embedding = "embed_in.weight",
    .head = "embed_out.weight",
    .buffers = kGptNeoxBuffers,
    .read = ReadGptNeox,
};

}  // namespace spar::models
