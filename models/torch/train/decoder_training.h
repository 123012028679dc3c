// L1t. Training on a decoder in its folder: a Training without a word of torch.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "models/snapshot/snapshot.h"
#include "models/train/token_rows.h"
#include "models/train/train_config.h"
#include "models/training.h"

namespace spar::models {

struct DecoderTrainingOptions {
  std::string device = "cpu";
  int num_threads = 0;  // of the calling thread; 0: as they are
};

// A training of `snapshot`'s decoder on `rows`, of config.data.sequence_length
// tokens each. Belongs to the calling thread.
//   kInvalidArgument    BAD_TRAIN_CONFIG: modules that the decoder lacks, rows
//                       beyond its context; BAD_DEVICE
//   kResourceExhausted  TRAINING_TOO_LARGE: a step needs more memory than there
//                       is; or OUT_OF_DEVICE_MEMORY
absl::StatusOr<std::unique_ptr<Training>> MakeDecoderTraining(
    std::shared_ptr<const Snapshot> snapshot,
    std::unique_ptr<TokenRows> rows,
    const TrainConfig& config,
    const DecoderTrainingOptions& options);

}  // namespace spar::models
