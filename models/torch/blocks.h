// L1t. The arithmetic of a decoder block, stated once for every way of running
// it. All functions throw c10::Error and follow the thread's grad mode; without
// gradients they may work in place on what they made themselves.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/parameters.h"
#include "models/torch/sequences.h"

namespace spar::models {

// Tokens of a computation: nodes, each a copy of one sequence of a batch.
struct Nodes {
  std::vector<int> sequence = {};  // [node]
  std::vector<Run> runs = {};
  at::Tensor rotation = {};     // [tokens, rotary.dim / 2]
  at::Tensor last_tokens = {};  // [nodes], of each node's last token
};

// Every sequence of the batch once, in order.
Nodes OneNodePerSequence(const SequenceBatch& batch);

// Token and position embeddings of the batch, [tokens, width].
at::Tensor Embed(const Decoder& decoder, const SequenceBatch& batch);

at::Tensor Normalize(const Decoder& decoder,
                     const NormWeights& norm,
                     const at::Tensor& x);

// Rotates the leading pairs of every head in place. heads: [tokens, heads,
// head_dim], made by the caller; rotation: [tokens, dim / 2], `dim` coordinates
// rotate. Half-precision heads rotate in float32.
void RotateHeads(const at::Tensor& heads, const at::Tensor& rotation, int dim);

// Which keys the queries of a run see, bool [nodes, 1, length, length];
// undefined where it is plain causality for all.
at::Tensor VisibleKeys(SequenceBatch& batch,
                       const Nodes& nodes,
                       const Run& run,
                       int window);

// Rotated queries and keys, and values. With `last_only`, queries of each
// node's last token only.
struct HeadInputs {
  at::Tensor q = {};   // [tokens or nodes, heads, head_dim]
  at::Tensor kv = {};  // [tokens, 2 kv_heads, head_dim], keys then values
};
HeadInputs ProjectHeads(const Decoder& decoder,
                        const AttentionWeights& attention,
                        const Nodes& nodes,
                        const at::Tensor& normed,
                        bool last_only);

// MixValues from its projections, rotated already. q: [tokens, heads,
// head_dim], with `last_only` [nodes, heads, head_dim]; kv: [tokens,
// 2 kv_heads, head_dim], keys then values.
at::Tensor Attend(const Decoder& decoder,
                  int layer,
                  const AttentionWeights& attention,
                  SequenceBatch& batch,
                  const Nodes& nodes,
                  const at::Tensor& q,
                  const at::Tensor& kv,
                  bool last_only);

// The heads' mixed values before the output projection. `normed`: [tokens,
// width]. Result [tokens, heads * head_dim], or with `last_only` only each
// node's last token, [nodes, heads * head_dim].
at::Tensor MixValues(const Decoder& decoder,
                     int layer,
                     const AttentionWeights& attention,
                     SequenceBatch& batch,
                     const Nodes& nodes,
                     const at::Tensor& normed,
                     bool last_only);

// Of the activation alone. May work in place.
at::Tensor ActivationOf(Activation kind, at::Tensor x);

// Activate from the pre-activations: [tokens, neurons], or gated [tokens,
// 2 neurons], gate first. May work in place.
at::Tensor ActivateProjected(const Decoder& decoder, at::Tensor pre);

// The neurons' post-activations, gated where the MLP is. `normed`: [tokens,
// width]. Result [tokens, neurons].
at::Tensor Activate(const Decoder& decoder,
                    const MlpWeights& mlp,
                    const at::Tensor& normed);

// Final norm and unembedding, in float32. `x`: [n, width]. Result [n, vocab].
at::Tensor Logits(const Decoder& decoder, const at::Tensor& x);

}  // namespace spar::models
