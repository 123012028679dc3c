// L1t. A decoder whose decomposed weights are recomposed under masks that all
// positions share: W' = sum_c m_c U_c V_c^T + d Delta.
#pragma once

#include <vector>

#include "models/torch/component_masks.h"

namespace spar::models {

// `masks`: one for each module, shared by all tokens. The result's tensors are
// the decoder's own where the masks change nothing; whatever runs on a decoder
// runs on it. The unembedding keeps its weight, tied or not. Throws c10::Error.
Decoder RecomposedDecoder(DecomposedDecoder& decomposed,
                          const std::vector<ComponentMasks>& masks);

}  // namespace spar::models
