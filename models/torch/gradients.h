// L1t. Gradients of the smooth margin with respect to unit masks.
#pragma once

#include <span>
#include <vector>

#include "models/backend.h"
#include "models/torch/batch_plan.h"
#include "models/torch/masked_forward.h"

namespace spar::models {

// Batches of at most `max_bytes` of what the way back needs, or of one row. Of
// one reference kind, shortest rows first.
std::vector<PlannedBatch> PlanGradients(const Decoder& decoder,
                                        std::span<const GradientRow> rows,
                                        int64_t max_bytes);

// One batched forward and backward. The rows fit the model and share one
// reference kind; `reference` is null for zero. Throws c10::Error.
std::vector<RowGradient> MaskGradients(const Decoder& decoder,
                                       std::span<const GradientRow* const> rows,
                                       const ReferenceValues* reference);

}  // namespace spar::models
