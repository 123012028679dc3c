// L1. Ablations of the fake model: heads and neurons, strategy target.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "models/ablation.h"
#include "models/unit_table.h"

namespace spar::models {

// Logits after the last of `tokens` under masks, [unit].
using FakeLogits = std::function<std::vector<double>(
    std::span<const TokenId> tokens, const std::vector<float>& masks)>;

// One run at a time, position by position: a position is read as the end of the
// tokens up to it, so an intervention at a position changes what is read there
// and nothing later. The request has passed CheckAblation; `units` and what
// `logits` holds outlive the ablation.
std::unique_ptr<Ablation> MakeFakeAblation(const UnitTable& units,
                                           const AblationRequest& request,
                                           FakeLogits logits);

}  // namespace spar::models
