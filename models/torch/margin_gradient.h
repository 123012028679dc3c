// L1t. The gradient of the smooth margin in every mask, by hand: autograd's
// bookkeeping costs several times the arithmetic of a few short rows.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "models/row.h"
#include "models/torch/masked_forward.h"
#include "models/torch/parameters.h"
#include "models/torch/sequences.h"

namespace spar::models {

struct MarginGradient {
  at::Tensor logits = {};    // at each sequence's last token, [rows, vocab]
  at::Tensor smooth = {};    // smooth margins, [rows]
  at::Tensor gradient = {};  // d(smooth margin)/d(mask), [rows, units], float32
};

// d(smooth margin)/d(logits), [rows, vocab], of logits [rows, vocab]; `smooth`
// becomes the smooth margins, [rows].
at::Tensor SmoothMarginGradient(const at::Tensor& logits,
                                const std::vector<TokenId>& targets,
                                at::Tensor& smooth);

// One row per sequence of the batch. masks: [rows, units] in the decoder's
// dtype; `reference` is null for zero. Throws c10::Error; call in
// InferenceMode.
MarginGradient DifferentiateMargins(const Decoder& decoder,
                                    SequenceBatch& batch,
                                    const at::Tensor& masks,
                                    const ReferenceValues* reference,
                                    const std::vector<TokenId>& targets);

}  // namespace spar::models
