// L1t. Projected gradient ascent on masks (VPD; `spd`'s PGDReconLoss).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/ablation.h"
#include "models/torch/component_masks.h"

namespace spar::models {

// m = g + (1 - g) s and d = s', with the sources s, s' in [0, 1] that hurt
// most. `importances`: g of every module, [tokens, C]. `loss`: of a run under
// such masks, one number, differentiable in them. A source of 0 leaves m = g:
// the adversary adds to what matters, it takes nothing away. With request.delta
// d is that number and no source. Throws c10::Error; outside any InferenceMode.
std::vector<ComponentMasks> AdversarialMasks(
    const AblationRequest& request,
    const std::vector<at::Tensor>& importances,
    const std::function<at::Tensor(std::vector<ComponentMasks>)>& loss);

}  // namespace spar::models
