// L1. Pruning of the fake model, by a rule instead of an optimisation.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "models/fake_decomposition.h"
#include "models/prune.h"
#include "models/row.h"

namespace spar::models {

// Logits after the prompt's last token under masks, [unit].
using FakePromptLogits = std::function<std::vector<double>(
    const Prompt& prompt, const std::vector<float>& masks)>;

// Note [The fake pruning]
// A row's nodes are those that the decomposition holds alive up to its
// position. After k of n steps those whose importance is above price * k / n
// are left, at g = 1, and the others at 0: the higher the price, the fewer.
// Next does one step of every row; all end at their last.
//
// The request has passed CheckPrune; the decomposition, and what `logits`
// holds, outlive the pruning.
std::unique_ptr<Pruning> MakeFakePruning(const FakeDecomposition& decomposition,
                                         const PruneRequest& request,
                                         FakePromptLogits logits);

}  // namespace spar::models
