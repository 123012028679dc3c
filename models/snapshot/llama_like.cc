#include <cmath>

#include "base/status.h"
#include "models/snapshot/family_parts.h"
#include "models/snapshot/limits.h"
#include "models/snapshot/rotary_config.h"

namespace spar::models {
namespace {

LayerSpec ReadLayer(const std::string& module,
                    const LlamaTraits& traits,
                    int head_dim) {
  LayerSpec layer;
  layer.attention_module = module + ".self_attn";
  layer.mlp_module = module + ".mlp";
  layer.attention_norm = Linear(module + ".input_layernorm", false);
  layer.q = Linear(layer.attention_module + ".q_proj", traits.qkv_bias);
  layer.k = Linear(layer.attention_module + ".k_proj", traits.qkv_bias);
  layer.v = Linear(layer.attention_module + ".v_proj", traits.qkv_bias);
  layer.o = Linear(layer.attention_module + ".o_proj", traits.o_bias);
  layer.mlp_norm = Linear(module + ".post_attention_layernorm", false);
  layer.gate = Linear(layer.mlp_module + ".gate_proj", traits.mlp_bias);
  layer.up = Linear(layer.mlp_module + ".up_proj", traits.mlp_bias);
  layer.down = Linear(layer.mlp_module + ".down_proj", traits.mlp_bias);
  layer.attention_scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  return layer;
}

void ReadHeads(ConfigReader& config,
               const LlamaTraits& traits,
               DecoderSpec* spec) {
  spec->num_heads = config.Int("num_attention_heads", kHeadsRange);
  // Null means as many as heads; what absence means differs by family.
  const bool use_default =
      traits.default_kv_heads != 0 && !config.IsWritten("num_key_value_heads");
  spec->num_kv_heads =
      config.OptionalInt("num_key_value_heads", kHeadsRange)
          .value_or(use_default ? traits.default_kv_heads : spec->num_heads);
  if (spec->num_heads % spec->num_kv_heads != 0) {
    config.Refuse(
        "num_key_value_heads",
        base::Cat("does not divide the ", spec->num_heads, " attention heads"));
  }
  spec->head_dim =
      config.IsSet("head_dim")
          ? config.Int("head_dim", kHeadDimRange)
          : EvenHeadDim(config, "hidden_size", spec->width, spec->num_heads);
}

}  // namespace

DecoderSpec ReadLlamaLike(ConfigReader& config,
                          const std::string& prefix,
                          const LlamaTraits& traits) {
  DecoderSpec spec;
  spec.num_layers = config.Int("num_hidden_layers", kLayersRange);
  spec.width = config.Int("hidden_size", kWidthRange);
  ReadHeads(config, traits, &spec);
  spec.mlp_width = config.Int("intermediate_size", kMlpWidthRange);
  spec.vocab_size = config.Int("vocab_size", kVocabRange);
  spec.context_length = config.Int("max_position_embeddings", kContextRange);
  spec.norm = NormKind::kRmsNorm;
  spec.norm_epsilon =
      config.OptionalReal("rms_norm_eps", kEpsilonRange).value_or(1e-6);
  spec.activation = ReadActivation(config, "hidden_act", "silu");
  spec.gated_mlp = true;
  spec.positions = PositionKind::kRotary;
  spec.rotary = ReadRotary(config, spec.head_dim, RotaryFields{});

  spec.token_embedding.tensor = prefix + "embed_tokens.weight";
  spec.final_norm = Linear(prefix + "norm", false);
  ReadTying(config, false, "lm_head.weight", &spec);
  for (int l = 0; l < spec.num_layers; ++l) {
    spec.layers.push_back(
        ReadLayer(base::Cat(prefix, "layers.", l), traits, spec.head_dim));
  }
  return spec;
}

}  // namespace spar::models
