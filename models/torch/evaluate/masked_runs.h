// L1t. Which runs the reconstruction of a batch takes, and their masks.
#pragma once

#include <cstdint>
#include <vector>

#include "models/evaluation.h"
#include "models/torch/component_masks.h"
#include "models/torch/evaluate/evaluation_subject.h"

namespace spar::models {

// One run of every batch.
struct MaskedRun {
  EvaluationMasks masks = EvaluationMasks::kTarget;
  int sample = 0;  // of the random ones
  // The point of the curve that this run is; then masks is kRounded, with that
  // point's threshold. -1: a run of the table.
  int point = -1;
};

// The table's runs, then the curve's.
std::vector<MaskedRun> PlanRuns(const EvaluationRequest& request);

// The masks of a run, one for each module; those that `masked` does not hold
// are the model's own. Draws are of the run and of `batch`.
std::vector<ComponentMasks> MasksOfRun(
    const EvaluationSubject& subject,
    const EvaluationRequest& request,
    const MaskedRun& run,
    const std::vector<bool>& masked,
    const std::vector<at::Tensor>& importances,
    int64_t batch);

}  // namespace spar::models
