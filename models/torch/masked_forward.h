// L1t. The decoder with every unit computed and a mask on each: what gradients,
// predictions and mean references need, and what the reuse of restricted
// forwards is tested against.
#pragma once

#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/blocks.h"

namespace spar::models {

// The values that units take outside S, by position id.
struct ReferenceValues {
  // Of each layer, [rows, heads * head_dim] and [rows, neurons], in float32.
  std::vector<at::Tensor> heads = {};
  std::vector<at::Tensor> neurons = {};
  // Position ids from here on share the last row.
  int last_row = 0;

  // The row of each position id of `ids`.
  at::Tensor Rows(const at::Tensor& ids) const;
  void MoveTo(at::Device device);
};

struct MaskOptions {
  // [sequences, units], in the decoder's dtype; undefined: all on.
  at::Tensor masks = {};
  const ReferenceValues* reference = nullptr;  // null: zero
  // The result is of each sequence's last token only, [sequences, width]; else
  // of every token, [tokens, width].
  bool last_only = true;
  // Computes nothing but the last token in the last layer; needs last_only.
  bool last_layer_last_only = true;
  // Called with what each layer's projections read, after the norm: q, k and v,
  // then the MLP. [tokens, width].
  std::function<void(int layer, const at::Tensor& input)> see_attention_input =
      nullptr;
  std::function<void(int layer, const at::Tensor& input)> see_mlp_input =
      nullptr;
  // Called with each layer's own values: heads [tokens, heads * head_dim],
  // then neurons [tokens, neurons].
  std::function<void(int layer, const at::Tensor& heads)> see_heads = nullptr;
  std::function<void(int layer, const at::Tensor& neurons)> see_neurons =
      nullptr;
};

// The residual stream before the final norm. Differentiable in the masks when
// grad mode is on.
at::Tensor MaskedForward(const Decoder& decoder,
                         SequenceBatch& batch,
                         const MaskOptions& options);

}  // namespace spar::models
