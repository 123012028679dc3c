// L1. Evaluations of the fake model's decompositions, in closed form.
#pragma once

#include <memory>

#include "models/evaluation.h"
#include "models/fake_decomposition.h"
#include "models/fake_pruning.h"

namespace spar::models {

// Note [The fake evaluation]
// Runs are of nodes; a position is read as the end of the tokens up to it.
// Nothing is drawn: of stochastic and random masks u and u' are 1/2. An attack
// has s = min(1, k step_size) everywhere after k steps, whatever its scope.
// What module m writes is thought of as its C activations, each times its mask.
// The heads read tokens alone, so no mask moves a pattern. Next brings a part
// or more to its end, each from all rows.
//
// The request has passed CheckEvaluation; the decomposition, and what `logits`
// holds, outlive the evaluation.
std::unique_ptr<Evaluation> MakeFakeEvaluation(
    const FakeDecomposition& decomposition,
    const EvaluationRequest& request,
    FakePromptLogits logits);

}  // namespace spar::models
