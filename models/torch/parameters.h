// L1t. The weights of a decoder, laid out for speed: fused projections, and
// every matrix with one contiguous row per unit on the unit's side.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/decoder_spec.h"
#include "models/snapshot/snapshot.h"

namespace spar::models {

struct NormWeights {
  at::Tensor gain = {};  // [width]
  at::Tensor bias = {};  // [width]; undefined when absent
};

// Some heads of an attention layer: all of them, or those that a batch keeps.
// Within each query and key head the rotating coordinates come first, as
// adjacent pairs, whatever the checkpoint's order: q.k does not change.
struct AttentionWeights {
  int heads = 0;
  int kv_heads = 0;
  at::Tensor qkv = {};         // [(heads + 2 kv_heads) * head_dim, width]
  at::Tensor qkv_bias = {};    // undefined when absent
  at::Tensor o = {};           // [heads * head_dim, width]
  at::Tensor kv_of_head = {};  // [heads]; undefined: head h reads kv head h
};

// Some neurons of an MLP.
struct MlpWeights {
  int neurons = 0;
  at::Tensor up = {};       // [neurons, width]; gated: gate rows, then up rows
  at::Tensor up_bias = {};  // undefined when absent
  at::Tensor down = {};     // [neurons, width]
};

struct LayerWeights {
  NormWeights attention_norm = {};
  AttentionWeights attention = {};
  at::Tensor o_bias = {};  // [width]; zeros when absent
  NormWeights mlp_norm = {};
  MlpWeights mlp = {};
  at::Tensor down_bias = {};  // [width]; zeros when absent
};

struct DecoderWeights {
  at::Tensor token_embedding = {};     // [vocab, width]
  at::Tensor position_embedding = {};  // [context, width]; learned only
  std::vector<LayerWeights> layers = {};
  NormWeights final_norm = {};
  at::Tensor unembedding = {};       // [vocab, width]
  at::Tensor unembedding_bias = {};  // undefined when absent
  int64_t num_parameters = 0;        // of the checkpoint; shared ones once
};

// A decoder on its device. Immutable.
struct Decoder {
  DecoderSpec spec = {};
  DecoderWeights weights = {};
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
};

// Brings the rotating coordinates of every head of `rows`, [heads * head_dim,
// ...], from the checkpoint's order to adjacent pairs.
at::Tensor PairCoordinates(const DecoderSpec& spec, const at::Tensor& rows);

// Numbers in the weights of a decoder, to within its biases.
int64_t CountWeights(const DecoderSpec& spec);

// Throws c10::Error: call inside CatchTorch, outside any InferenceMode.
Decoder LoadDecoder(const Snapshot& snapshot,
                    at::Device device,
                    at::ScalarType dtype);

}  // namespace spar::models
