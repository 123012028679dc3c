// L1t. What attention's inputs owe to its output.
#pragma once

#include <ATen/core/Tensor.h>

#include "models/torch/blocks.h"

namespace spar::models {

// d(heads' mixed values) to d(normed input). `inputs` are those of the forward;
// mixed: [tokens, heads, head_dim], or with `last_only` of each node's last
// token. Result [tokens, width]. Throws c10::Error; call in InferenceMode.
at::Tensor AttentionGradient(const Decoder& decoder,
                             int layer,
                             SequenceBatch& batch,
                             const Nodes& nodes,
                             const HeadInputs& inputs,
                             const at::Tensor& mixed,
                             bool last_only);

}  // namespace spar::models
