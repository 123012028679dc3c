// L1. Pieces that several family files share.
#pragma once

#include <string>
#include <string_view>

#include "models/decoder_spec.h"
#include "models/snapshot/config_reader.h"
#include "models/snapshot/family.h"

namespace spar::models {

// torch's Linear or a norm: `module`.weight, and `module`.bias if it has one.
Affine Linear(const std::string& module, bool bias);
// GPT-2's Conv1D: [in, out], always with a bias.
Affine Conv1d(const std::string& module);
// The `part`-th of `parts` in each of `groups` groups of outputs.
Affine Part(Affine fused, int groups, int parts, int part);

// Activation named by `field`, `fallback` when absent.
Activation ReadActivation(ConfigReader& config,
                          std::string_view field,
                          std::string_view fallback);

// width / num_heads; refuses by `width_field` when that leaves a rest.
int EvenHeadDim(ConfigReader& config,
                std::string_view width_field,
                int width,
                int num_heads);

// tie_word_embeddings; sets spec->unembedding to the head or to the embedding.
void ReadTying(ConfigReader& config,
               bool tied_by_default,
               std::string_view head,
               DecoderSpec* spec);

// What llama, mistral and qwen2 have in common, and where they differ.
struct LlamaTraits {
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  int default_kv_heads = 0;  // when the field is absent; 0: num_heads
};
DecoderSpec ReadLlamaLike(ConfigReader& config,
                          const std::string& prefix,
                          const LlamaTraits& traits);
// Rotary tables, which old checkpoints of these families carry.
inline constexpr std::string_view kLlamaLikeBuffers[] = {
    "layers.*.self_attn.rotary_emb.inv_freq",
    "rotary_emb.inv_freq",
};

}  // namespace spar::models
