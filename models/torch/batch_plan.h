// L1t. Which rows run together. Torch-free.
#pragma once

#include <cstdint>
#include <functional>
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

// Past this many tokens, products gain nothing and activations leave the cache.
inline constexpr int64_t kMostTokens = 2048;
// What starting another batch costs, in multiply-adds per layer.
inline constexpr double kBatchOverhead = 2e6;

// Of `tokens` tokens: the streams with their copies and norms, and the widest
// of a layer's intermediate values.
int64_t ActivationBytes(const DecoderSpec& spec,
                        int64_t tokens,
                        int64_t bytes_per_number);

// Puts rows together whose kept units overlap, as long as computing the union
// for all of them costs less than another batch would, and cuts batches where
// they get too long to gain. `bytes_per_number` is the dtype's.
std::vector<PlannedBatch> PlanBatches(std::span<const Row> rows,
                                      const DecoderSpec& spec,
                                      const UnitTable& units,
                                      const ReuseOptions& reuse,
                                      int bytes_per_number);

// Batches of at most `max_bytes` of what the way back needs, which `bytes_of`
// tells of some rows of `tokens` tokens in all, or of one row. Of one reference
// kind, shortest rows first.
std::vector<PlannedBatch> PlanGradientBatches(
    std::span<const GradientRow> rows,
    int64_t max_bytes,
    const std::function<int64_t(int64_t rows, int64_t tokens)>& bytes_of);

}  // namespace spar::models
