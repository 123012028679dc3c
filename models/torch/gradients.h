// L1t. Gradients of the smooth margin with respect to unit masks.
#pragma once

#include <span>
#include <vector>

#include "models/backend.h"
#include "models/torch/masked_forward.h"

namespace spar::models {

// Bytes that autograd keeps for rows of `tokens` tokens in all.
int64_t GradientBytes(const Decoder& decoder, int64_t rows, int64_t tokens);

// One batched forward and backward. The rows fit the model and share one
// reference kind; `reference` is null for zero. Throws c10::Error. Must not be
// called in InferenceMode.
std::vector<RowGradient> MaskGradients(const Decoder& decoder,
                                       std::span<const GradientRow* const> rows,
                                       const ReferenceValues* reference);

}  // namespace spar::models
