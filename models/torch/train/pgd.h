// L1t. Reconstruction under projected gradient ascent that begins anew in each
// step.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/train/draws.h"
#include "models/torch/train/run_masks.h"
#include "models/torch/train/step_batch.h"

namespace spar::models {

// Ascends sources of the modules that the run replaces, with `g` and the
// weights as they are. g: importances of each module, without graphs. Throws
// c10::Error.
std::vector<ModuleSources> AttackByPgd(StepBatch& batch,
                                       const std::vector<at::Tensor>& g,
                                       const std::vector<at::Tensor>& routing,
                                       int only,
                                       const PgdConfig& config,
                                       bool use_delta,
                                       const DrawKey& key);

}  // namespace spar::models
