#include "models/backend.h"

#include "base/status.h"
#include "models/attribution.h"

namespace spar::models {

absl::StatusOr<AttributionSummary> Backend::Attribute(
    const AttributionRequest& /*request*/, AttributionSink& /*sink*/) {
  return base::Error(absl::StatusCode::kFailedPrecondition,
                     "the model's backend makes no attribution graphs",
                     {"NO_ATTRIBUTION", "model", {}});
}

}  // namespace spar::models
