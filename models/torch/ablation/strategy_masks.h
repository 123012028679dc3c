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
