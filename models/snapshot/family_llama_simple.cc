// llama_simple and llama_simple_mlp, the targets of parameter decompositions:
// RMSNorm, whole-head rotary positions; a gated or a plain MLP.
#include <algorithm>
#include <cmath>

#include "base/status.h"
#include "models/snapshot/family_parts.h"
#include "models/snapshot/limits.h"

namespace spar::models {
namespace {

struct Biases {
  bool attention = false;
  bool mlp = false;
};

LayerSpec ReadLayer(const std::string& module,
                    bool fused,
                    const Biases& biases,
                    const DecoderSpec& spec) {
  LayerSpec layer;
  const std::string attention = module + ".attn";
  const std::string mlp = module + ".mlp";
  layer.attention_module = attention;
  layer.mlp_module = mlp;
  layer.attention_norm = Linear(module + ".rms_1", false);
  if (fused) {
    const Affine qkv = Linear(attention + ".c_attn", biases.attention);
    layer.q = Part(qkv, 1, 3, 0);
    layer.k = Part(qkv, 1, 3, 1);
    layer.v = Part(qkv, 1, 3, 2);
  } else {
    layer.q = Linear(attention + ".q_proj", biases.attention);
    layer.k = Linear(attention + ".k_proj", biases.attention);
    layer.v = Linear(attention + ".v_proj", biases.attention);
  }
  layer.o = Linear(attention + ".o_proj", biases.attention);
  layer.mlp_norm = Linear(module + ".rms_2", false);
  if (spec.gated_mlp) {
    layer.gate = Linear(mlp + ".gate_proj", biases.mlp);
    layer.up = Linear(mlp + ".up_proj", biases.mlp);
  } else {
    layer.up = Linear(mlp + ".c_fc", biases.mlp);
  }
  layer.down = Linear(mlp + ".down_proj", biases.mlp);
  layer.attention_scale = 1.0 / std::sqrt(static_cast<double>(spec.head_dim));
  return layer;
}

// Whole heads rotate: these models read rotary_dim and do not use it.
Rotary ReadWholeHeadRotary(ConfigReader& config, int head_dim) {
  constexpr RealRange kBaseRange{.above = 0, .max = 1e12};
  config.Ignore("rotary_dim");
  Rotary rotary;
  rotary.dim = head_dim;
  rotary.theta =
      config.OptionalReal("rotary_base", kBaseRange).value_or(10000.0);
  rotary.adjacent_pairs =
      config.OptionalBool("rotary_adjacent_pairs").value_or(false);
  if (head_dim % 2 != 0) {
    config.Refuse("n_embd", base::Cat("makes heads of ", head_dim,
                                      " coordinates, want an even number"));
  }
  return rotary;
}

void ReadSizes(ConfigReader& config, bool fused, DecoderSpec* spec) {
  spec->num_layers = config.Int("n_layer", kLayersRange);
  spec->width = config.Int("n_embd", kWidthRange);
  spec->num_heads = config.Int("n_head", kHeadsRange);
  spec->head_dim = EvenHeadDim(config, "n_embd", spec->width, spec->num_heads);
  if (fused) {
    config.Ignore("n_key_value_heads");
    spec->num_kv_heads = spec->num_heads;
  } else {
    spec->num_kv_heads = config.Int("n_key_value_heads", kHeadsRange);
  }
  if (spec->num_heads % spec->num_kv_heads != 0) {
    config.Refuse("n_key_value_heads",
                  base::Cat("does not divide the ", spec->num_heads, " heads"));
  }
  spec->mlp_width = config.Int("n_intermediate", kMlpWidthRange);
  spec->vocab_size = config.Int("vocab_size", kVocabRange);
  // Beyond n_ctx these models repeat the last rotation; no prompt gets there.
  const int block = config.Int("block_size", kContextRange);
  const int tables = config.OptionalInt("n_ctx", kContextRange).value_or(1024);
  spec->context_length = std::min(block, tables);
}

DecoderSpec ReadSimple(ConfigReader& config,
                       const std::string& prefix,
                       bool gated) {
  const bool fused =
      !config.OptionalBool("use_grouped_query_attention").value_or(true);
  Biases biases;
  biases.attention = config.OptionalBool("attn_bias").value_or(false);
  biases.mlp = config.OptionalBool("mlp_bias").value_or(false);
  DecoderSpec spec;
  ReadSizes(config, fused, &spec);
  spec.norm = NormKind::kRmsNorm;
  spec.norm_epsilon =
      config.OptionalReal("rms_norm_eps", kEpsilonRange).value_or(1e-6);
  spec.activation = gated ? Activation::kSilu : Activation::kGeluTanh;
  spec.gated_mlp = gated;
  spec.positions = PositionKind::kRotary;
  spec.rotary = ReadWholeHeadRotary(config, spec.head_dim);

  spec.token_embedding.tensor = prefix + "wte.weight";
  spec.final_norm = Linear(prefix + "ln_f", false);
  ReadTying(config, true, "lm_head.weight", &spec);
  for (int l = 0; l < spec.num_layers; ++l) {
    spec.layers.push_back(
        ReadLayer(base::Cat(prefix, "h.", l), fused, biases, spec));
  }
  return spec;
}

DecoderSpec ReadGated(ConfigReader& config, const std::string& prefix) {
  return ReadSimple(config, prefix, /*gated=*/true);
}

DecoderSpec ReadPlain(ConfigReader& config, const std::string& prefix) {
  return ReadSimple(config, prefix, /*gated=*/false);
}

}  // namespace

constinit const Family kLlamaSimpleFamily = {
    .model_type = "llama_simple",
    .prefix = "",
    .embedding = "wte.weight",
    .head = "lm_head.weight",
    .buffers = {},
    .read = ReadGated,
};

constinit const Family kLlamaSimpleMlpFamily = {
    .model_type = "llama_simple_mlp",
    .prefix = "",
    .embedding = "wte.weight",
    .head = "lm_head.weight",
    .buffers = {},
    .read = ReadPlain,
};

}  // namespace spar::models
