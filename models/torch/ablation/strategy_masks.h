// L1t. The masks that a strategy says, before interventions.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/ablation.h"
#include "models/torch/component_masks.h"

namespace spar::models {

constexpr bool NeedsImportances(MaskStrategy strategy) {
  return strategy == MaskStrategy::kCausalImportance ||
         strategy == MaskStrategy::kRounded ||
         strategy == MaskStrategy::kStochastic ||
         strategy == MaskStrategy::kAdversarial;
}

// Uniform numbers in [0, 1) of `sizes` on the CPU: the same for the same seed
// and stream everywhere.
at::Tensor UniformNumbers(uint64_t seed,
                          uint64_t stream,
                          const std::vector<int64_t>& sizes);

// One for each module, of `length` tokens or of one row for all. `importances`:
// g of every module, [length, C]; read where NeedsImportances. Not for
// kAdversarial. `sample` tells apart the draws of kStochastic.
std::vector<ComponentMasks> StrategyMasks(
    const AblationRequest& request,
    const DecomposedDecoder& decomposed,
    MaskSampling sampling,
    const std::vector<at::Tensor>& importances,
    uint64_t sample);

}  // namespace spar::models
