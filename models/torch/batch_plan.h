// L1t. Which rows run together. Torch-free.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/decoder_spec.h"
#include "models/row.h"
#include "models/torch/torch_backend.h"
#include "models/unit_table.h"

namespace spar::models {

// Rows of one call that run as one device batch: of one reference kind.
struct PlannedBatch {
  ReferenceKind reference = ReferenceKind::kZero;
  std::vector<int> rows = {};  // indices into the call's rows
  int64_t bytes = 0;           // of activations, at most
};

// Puts rows together whose kept units overlap, as long as computing the union
// for all of them costs less than another batch would, and cuts batches where
// they get too long to gain. `bytes_per_number` is the dtype's.
std::vector<PlannedBatch> PlanBatches(std::span<const Row> rows,
                                      const DecoderSpec& spec,
                                      const UnitTable& units,
                                      const ReuseOptions& reuse,
                                      int bytes_per_number);

}  // namespace spar::models
