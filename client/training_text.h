// L5. A training's progress in one line.
#pragma once

#include <string>

#include "spar/v1/training.pb.h"

namespace spar::client {

// "step 1200/40000  total 0.83  FaithfulnessLoss 1.2e-06 ..  l0 31.2 of 410
// alive  0.21 s/step  2:14:08 left"; of the warm-up "faithfulness 3/400  ..",
// without what is left.
std::string TrainingText(const v1::TrainingProgress& progress);

// "checkpoint 1200: runs/a/checkpoints/1200".
std::string TrainingText(const v1::TrainingCheckpoint& checkpoint);

}  // namespace spar::client
