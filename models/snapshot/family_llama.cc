// Llama: RMSNorm, gated MLP, rotary positions, grouped queries.
#include "models/snapshot/family_parts.h"

namespace spar::models {
namespace {

DecoderSpec ReadLlama(ConfigReader& config, const std::string& prefix) {
  const bool attention_bias =
      config.OptionalBool("attention_bias").value_or(false);
  LlamaTraits traits;
  traits.qkv_bias = attention_bias;
  traits.o_bias = attention_bias;
  traits.mlp_bias = config.OptionalBool("mlp_bias").value_or(false);
  for (const std::string& type : config.OptionalTexts("layer_types")
                                     .value_or(std::vector<std::string>{})) {
    if (type != "full_attention") {
      config.Refuse("layer_types", "llama attends fully in every layer");
    }
  }
  return ReadLlamaLike(config, prefix, traits);
}

}  // namespace

constinit const Family kLlamaFamily = {
    .model_type = "llama",
    .prefix = "model.",
    .embedding = "embed_tokens.weight",
    .head = "lm_head.weight",
    .buffers = kLlamaLikeBuffers,
    .read = ReadLlama,
};

}  // namespace spar::models
