// L1t. Which rows over a decomposition's units run together. Torch-free.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/decoder_spec.h"
#include "models/row.h"
#include "models/torch/batch_plan.h"
#include "models/torch/component_listing.h"

namespace spar::models {

// As PlanBatches, of rows over the units of one decomposition: rows together
// whose kept (or, of nearly full ones, lacking) subcomponents overlap. No batch
// of several rows is over `max_bytes`.
std::vector<PlannedBatch> PlanComponentBatches(std::span<const Row> rows,
                                               const DecoderSpec& spec,
                                               const ComponentLayout& layout,
                                               const ReuseOptions& reuse,
                                               int64_t max_bytes);

}  // namespace spar::models
