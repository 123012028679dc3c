// L1t. Evaluations of decompositions on LibTorch.
#pragma once

#include <memory>

#include "absl/status/statusor.h"

#include "models/evaluation.h"
#include "models/torch/evaluate/evaluation_subject.h"

namespace spar::models {

// The request has passed CheckEvaluation, and the CI function takes its rows.
// kResourceExhausted EVALUATION_TOO_LARGE when a batch does not fit.
absl::StatusOr<std::unique_ptr<Evaluation>> MakeTorchEvaluation(
    const EvaluationSubject& subject,
    const EvaluationRequest& request,
    const EvaluationLimits& limits);

}  // namespace spar::models
