// L1t. Per-prompt pruning on LibTorch.
#pragma once

#include <memory>

#include "models/prune.h"
#include "models/torch/prune/prune_subject.h"

namespace spar::models {

// The request has passed CheckPrune, and the CI function takes its prompts. The
// first calls of Next prepare one prompt each.
std::unique_ptr<Pruning> MakeTorchPruning(const PruneSubject& subject,
                                          const PruneRequest& request,
                                          const PruneLimits& limits);

}  // namespace spar::models
