// L1t. One question about direct effects, from tokens to edges.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"

#include <ATen/core/Tensor.h>

#include "models/attribution.h"
#include "models/torch/attribution/trace.h"

namespace spar::models {

// What a question is asked of. Nothing is kept.
struct AttributionModel {
  const Decoder* decoder = nullptr;
  // Empty: heads and neurons.
  std::span<const ModuleFactors> factors = {};
  // Causal importances at the question's tokens, [T, C] for each of the
  // factors; lower ones, in [0, 1]. Needed unless the request names its nodes,
  // runs the target and leaves importances out; else may be empty.
  std::span<const at::Tensor> importances = {};
  int64_t max_bytes = 0;  // that the work may hold beside the weights
};

// Streams the graph to `sink`. The tokens have been checked. Errors:
//   kInvalidArgument     as CheckAttribution (selection.h)
//   kResourceExhausted   ATTRIBUTION_TOO_LARGE with both numbers
//   kFailedPrecondition  ATTRIBUTION_NOT_FINITE
// and the sink's own.
absl::StatusOr<AttributionSummary> Attribute(const AttributionRequest& request,
                                             const AttributionModel& model,
                                             AttributionSink& sink);

}  // namespace spar::models
