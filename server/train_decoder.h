// L6. A training of one decoder from its configuration to its files: what
// `spard train` and DecompositionService.Train share.
#pragma once

#include <memory>

#include "absl/status/statusor.h"

#include "models/snapshot/snapshot.h"
#include "models/torch/train/decoder_training.h"
#include "models/train/run_training.h"
#include "models/train/train_config.h"

namespace spar {

// Trains on the calling thread until the end or until a hook says stop.
// `snapshot` is of config.model, whose tokenizer text is read by. From the
// first call on the process keeps the memory that it frees. Errors as
// RunTraining's, MakeDecoderTraining's, and those of the data.
absl::StatusOr<models::TrainingEnd> TrainDecoder(
    const models::TrainConfig& config,
    std::shared_ptr<const models::Snapshot> snapshot,
    const models::DecoderTrainingOptions& device,
    const models::RunTrainingOptions& options);

}  // namespace spar
