// L1t. Gradients of the smooth margin with respect to the masks of a
// decomposition's units.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/decoder_spec.h"
#include "models/row.h"
#include "models/torch/batch_plan.h"
#include "models/torch/component_listing.h"
#include "models/torch/component_means.h"
#include "models/torch/decomposed_decoder.h"

namespace spar::models {

// Batches of at most `max_bytes` of what the way back needs, or of one row. Of
// one reference kind, shortest rows first.
std::vector<PlannedBatch> PlanComponentGradients(
    std::span<const GradientRow> rows,
    const DecoderSpec& spec,
    const ComponentLayout& layout,
    int64_t max_bytes);

// One batched forward and backward. The rows share one reference kind; `means`
// is null for zero. Masks of deleted positions have gradient 0. Throws
// c10::Error: call outside any InferenceMode.
std::vector<RowGradient> ComponentGradients(
    DecomposedDecoder& decoder,
    const ComponentLayout& layout,
    const ComponentMeans* means,
    std::span<const GradientRow* const> rows);

}  // namespace spar::models
