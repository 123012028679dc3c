// L1t. What a row costs here, and how far its margin may wander.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

#include "models/backend.h"
#include "models/torch/torch_backend.h"

namespace spar::models {

// Evaluates rows that fit the model, with the reuse asked for.
using EvaluateWith = std::function<absl::StatusOr<std::vector<RowResult>>(
    std::span<const Row> rows, const ReuseOptions& reuse)>;

// Times rows alone and in a batch, and takes as the noise floor the largest
// difference between a row's margins alone, in the batch and with all reuse
// off, and at least 1e-7 of the largest logit. Some 0.1 s on small models.
absl::StatusOr<Calibration> Calibrate(const ModelInfo& info,
                                      const UnitTable& units,
                                      const EvaluateWith& evaluate);

// The noise floor of rows over the units of a decomposition, as Calibrate's.
absl::StatusOr<double> MeasureNoise(const ModelInfo& info,
                                    const DecompositionInfo& decomposition,
                                    const EvaluateWith& evaluate);

}  // namespace spar::models
