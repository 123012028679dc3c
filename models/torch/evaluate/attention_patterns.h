// L1t. How far attention under masks is from the model's own.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/parameters.h"
#include "models/torch/sequences.h"

namespace spar::models {

// Rotated queries and keys of one layer: [tokens, heads, head_dim] and
// [tokens, kv_heads, head_dim].
struct LayerHeads {
  at::Tensor q = {};
  at::Tensor k = {};
};

// The sum over the batch's positions as queries, and over heads, of KL(clean
// pattern || masked pattern), nats. Patterns are those of the engine: of the
// layer's scale, its window, and each head's own key head. Throws c10::Error.
double PatternDivergence(const Decoder& decoder,
                         int layer,
                         SequenceBatch& batch,
                         const LayerHeads& clean,
                         const LayerHeads& masked);

}  // namespace spar::models
