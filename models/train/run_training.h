// L1. A training with its files: checkpoints, metrics and the result.
#pragma once

#include <filesystem>
#include <functional>

#include "absl/status/statusor.h"

#include "models/train/train_config.h"
#include "models/training.h"

namespace spar::models {

struct RunTrainingOptions {
  // Goes on from the latest checkpoint of the output folder, where there is
  // one; else the folder must hold no checkpoint.
  bool resume = false;
  // After each step; returns whether to go on. Never null.
  std::function<bool(const TrainProgress&)> on_step = nullptr;
  // After each checkpoint, with its folder. May be null.
  std::function<void(const std::filesystem::path&)> on_checkpoint = nullptr;
};

// Whether metrics.jsonl has the step: every `log_every`-th, the first behind
// the warm-up, and the last of each phase.
bool IsLogged(const TrainProgress& progress, int log_every);

enum class TrainingEnd { kDone, kStopped };

// Steps to the end, or until on_step says stop, which saves a checkpoint.
// Writes into config.output: checkpoints/STEP every save_every steps, the
// latest two of which are kept; metrics.jsonl every log_every steps; at the end
// the decomposition in decomposition/ and the course of it in plots/. Errors as
// the training's and
//   kFailedPrecondition  CHECKPOINT_EXISTS: a checkpoint, and not resumed;
//                        OUT_DIR_IN_USE: another training writes there
absl::StatusOr<TrainingEnd> RunTraining(const TrainConfig& config,
                                        const RunTrainingOptions& options,
                                        Training& training);

}  // namespace spar::models
