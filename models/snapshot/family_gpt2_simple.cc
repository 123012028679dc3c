// gpt2_simple, a target of parameter decompositions: GPT-2 with separate q, k
// and v, stored as torch's Linear.
#include <cmath>

#include "base/status.h"
#include "models/snapshot/family_parts.h"
#include "models/snapshot/limits.h"

namespace spar::models {
namespace {

LayerSpec ReadLayer(const std::string& module, int head_dim) {
  LayerSpec layer;
  layer.attention_module = module + ".attn";
  layer.mlp_module = module + ".mlp";
  layer.attention_norm = Linear(module + ".ln_1", true);
  layer.q = Linear(layer.attention_module + ".q_proj", true);
  layer.k = Linear(layer.attention_module + ".k_proj", true);
  layer.v = Linear(layer.attention_module + ".v_proj", true);
  layer.o = Linear(layer.attention_module + ".o_proj", true);
  layer.mlp_norm = Linear(module + ".ln_2", true);
  layer.up = Linear(layer.mlp_module + ".c_fc", true);
  layer.down = Linear(layer.mlp_module + ".down_proj", true);
  layer.attention_scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  return layer;
}

DecoderSpec ReadGpt2Simple(ConfigReader& config, const std::string& prefix) {
  DecoderSpec spec;
  spec.num_layers = config.Int("n_layer", kLayersRange);
  spec.width = config.Int("n_embd", kWidthRange);
  spec.num_heads = config.Int("n_head", kHeadsRange);
  spec.num_kv_heads = spec.num_heads;
  spec.head_dim = EvenHeadDim(config, "n_embd", spec.width, spec.num_heads);
  spec.mlp_width = 4 * spec.width;
  spec.vocab_size = config.Int("vocab_size", kVocabRange);
  spec.context_length = config.Int("block_size", kContextRange);
  spec.norm = NormKind::kLayerNorm;
  spec.norm_epsilon = 1e-5;
  spec.activation = Activation::kGeluTanh;
  spec.positions = PositionKind::kLearned;

  spec.token_embedding.tensor = prefix + "wte.weight";
  spec.position_embedding.tensor = prefix + "wpe.weight";
  spec.final_norm = Linear(prefix + "ln_f", true);
  ReadTying(config, true, "lm_head.weight", &spec);
  for (int l = 0; l < spec.num_layers; ++l) {
    spec.layers.push_back(ReadLayer(base::Cat(prefix, "h.", l), spec.head_dim));
  }
  return spec;
}

}  // namespace

constinit const Family kGpt2SimpleFamily = {
    .model_type = "gpt2_simple",
    .prefix = "",
    .embedding = "wte.weight",
    .head = "lm_head.weight",
    .buffers = {},
    .read = ReadGpt2Simple,
};

}  // namespace spar::models
