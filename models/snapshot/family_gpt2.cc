// GPT-2: learned positions, LayerNorm, one fused Conv1D for q, k and v.
#include <cmath>

#include "base/status.h"
#include "models/snapshot/family_parts.h"
#include "models/snapshot/limits.h"

namespace spar::models {
namespace {

LayerSpec ReadLayer(const std::string& module) {
  LayerSpec layer;
  layer.attention_module = module + ".attn";
  layer.mlp_module = module + ".mlp";
  layer.attention_norm = Linear(module + ".ln_1", true);
  const Affine qkv = Conv1d(layer.attention_module + ".c_attn");
  layer.q = Part(qkv, 1, 3, 0);
  layer.k = Part(qkv, 1, 3, 1);
  layer.v = Part(qkv, 1, 3, 2);
  layer.o = Conv1d(layer.attention_module + ".c_proj");
  layer.mlp_norm = Linear(module + ".ln_2", true);
  layer.up = Conv1d(layer.mlp_module + ".c_fc");
  layer.down = Conv1d(layer.mlp_module + ".c_proj");
  return layer;
}

void ReadAttentionScales(ConfigReader& config, DecoderSpec* spec) {
  const bool by_width =
      config.OptionalBool("scale_attn_weights").value_or(true);
  const bool by_layer =
      config.OptionalBool("scale_attn_by_inverse_layer_idx").value_or(false);
  if (config.OptionalBool("reorder_and_upcast_attn").value_or(false)) {
    config.Refuse("reorder_and_upcast_attn", "not supported");
  }
  for (int l = 0; l < spec->num_layers; ++l) {
    double scale = by_width ? 1.0 / std::sqrt(double{1} * spec->head_dim) : 1.0;
    if (by_layer) scale /= l + 1;
    spec->layers[l].attention_scale = scale;
  }
}

DecoderSpec ReadGpt2(ConfigReader& config, const std::string& prefix) {
  DecoderSpec spec;
  spec.num_layers = config.Int("n_layer", kLayersRange);
  spec.width = config.Int("n_embd", kWidthRange);
  spec.num_heads = config.Int("n_head", kHeadsRange);
  spec.num_kv_heads = spec.num_heads;
  spec.head_dim = EvenHeadDim(config, "n_embd", spec.width, spec.num_heads);
  spec.mlp_width =
      config.OptionalInt("n_inner", kMlpWidthRange).value_or(4 * spec.width);
  spec.vocab_size = config.Int("vocab_size", kVocabRange);
  spec.context_length =
      config.AgreedInt({"n_positions", "n_ctx"}, kContextRange).value_or(1024);
  spec.norm = NormKind::kLayerNorm;
  spec.norm_epsilon =
      config.OptionalReal("layer_norm_epsilon", kEpsilonRange).value_or(1e-5);
  spec.activation = ReadActivation(config, "activation_function", "gelu_new");
  spec.positions = PositionKind::kLearned;

  spec.token_embedding.tensor = prefix + "wte.weight";
  spec.position_embedding.tensor = prefix + "wpe.weight";
  spec.final_norm = Linear(prefix + "ln_f", true);
  ReadTying(config, true, "lm_head.weight", &spec);
  for (int l = 0; l < spec.num_layers; ++l) {
    spec.layers.push_back(ReadLayer(base::Cat(prefix, "h.", l)));
  }
  ReadAttentionScales(config, &spec);
  return spec;
}

// Causal masks.
constexpr std::string_view kGpt2Buffers[] = {"h.*.attn.bias",
                                             "h.*.attn.masked_bias"};

}  // namespace

constinit const Family kGpt2Family = {
    .model_type = "gpt2",
    .prefix = "transformer.",
    .embedding = "wte.weight",
    .head = "lm_head.weight",
    .buffers = kGpt2Buffers,
    .read = ReadGpt2,
};

}  // namespace spar::models
