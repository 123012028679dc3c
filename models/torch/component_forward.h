// L1t. A decoder whose decomposed weights are masked, position by position.
//
// Rows lie side by side in one batch, each with masks of its own; of the
// factors only what the batch names is multiplied (Note [A masked weight as
// three sums]). Heads and neurons can be scaled too.
#pragma once

#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/blocks.h"
#include "models/torch/component_masks.h"

namespace spar::models {

struct ComponentRun {
  // One for each module of the decoder.
  std::vector<MaskedModule> modules = {};
  // In place of `modules`: which modules are replaced, and by what. `replace`
  // returns all that a module writes, [n, d_out] in the engine's order, from
  // what it reads, [n, d_in], of the embedding token ids; `bias` may be
  // undefined. Needs the result for all tokens.
  std::vector<bool> replaced = {};
  std::function<at::Tensor(
      int module, const at::Tensor& x, const at::Tensor& bias)>
      replace = nullptr;
  // Of each layer, [tokens or 1, heads] and [tokens or 1, neurons]; undefined:
  // all 1. Empty: all 1 in every layer.
  std::vector<at::Tensor> heads = {};
  std::vector<at::Tensor> neurons = {};
  // Where the run begins: the stream before this layer, [tokens, width];
  // undefined: with the embedding.
  int first_layer = 0;
  at::Tensor stream = {};
  // Where it ends: before this layer; -1: behind the last.
  int end_layer = -1;
  // The result of the last layer is of each sequence's last token only,
  // [sequences, width], and nothing else is computed there; else of all,
  // [tokens, width].
  bool last_only = false;
  // Called with the stream before each layer from first_layer on.
  std::function<void(int layer, const at::Tensor& stream)> see_stream = nullptr;
  // Called with what each module of the decoder writes, masked or not, its bias
  // included, [tokens, d_out] in the engine's order. What follows may work in
  // place on it: keep a copy.
  std::function<void(int module, const at::Tensor& output)> see_output =
      nullptr;
  // Called with each layer's queries and keys, rotated, [tokens, heads,
  // head_dim] and [tokens, kv_heads, head_dim]. Not without all tokens
  // (`last_only`).
  std::function<void(int layer, const at::Tensor& q, const at::Tensor& k)>
      see_heads = nullptr;
};

// Every module of `decomposed` under `masks`, one for each. Null `means`: the
// zero reference; else `reference_rows` has the row of each token, long.
std::vector<MaskedModule> MaskModules(DecomposedDecoder& decomposed,
                                      std::vector<ComponentMasks> masks,
                                      const ComponentMeans* means = nullptr,
                                      const at::Tensor& reference_rows = {});

// The residual stream behind the last layer run. Differentiable in the masks
// when grad mode is on. Throws c10::Error.
at::Tensor ComponentForward(const DecomposedDecoder& decomposed,
                            SequenceBatch& batch,
                            const ComponentRun& run);

}  // namespace spar::models
