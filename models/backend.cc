#include "models/backend.h"

#include "base/status.h"
#include "models/attribution.h"
#include "models/evaluation.h"
#include "models/prune.h"

namespace spar::models {

absl::StatusOr<AttributionSummary> Backend::Attribute(
    const AttributionRequest& /*request*/, AttributionSink& /*sink*/) {
  return base::Error(absl::StatusCode::kFailedPrecondition,
                     "the model's backend makes no attribution graphs",
                     {"NO_ATTRIBUTION", "model", {}});
}

absl::StatusOr<std::unique_ptr<Pruning>> Backend::Prune(
    const PruneRequest& /*request*/) {
  return base::Error(absl::StatusCode::kFailedPrecondition,
                     "the model's backend prunes nothing",
                     {"NO_PRUNING", "model", {}});
}

absl::StatusOr<std::unique_ptr<Evaluation>> Backend::EvaluateDecomposition(
    const EvaluationRequest& /*request*/) {
  return base::Error(absl::StatusCode::kFailedPrecondition,
                     "the model's backend evaluates no decompositions",
                     {"NO_EVALUATION", "model", {}});
}

}  // namespace spar::models
