#include "models/train/run_training.h"

#include "base/status.h"
#include "models/train/checkpoint.h"
#include "models/train/metrics_log.h"

namespace spar::models {
namespace {

namespace fs = std::filesystem;

constexpr int kKeptCheckpoints = 2;

absl::Status SaveCheckpoint(const fs::path& output, const Training& training) {
  RETURN_IF_ERROR(training.Save(CheckpointFolder(output, training.step())));
  PruneCheckpoints(output, kKeptCheckpoints);
  return absl::OkStatus();
}

absl::Status Begin(const TrainConfig& config, bool resume, Training& training) {
  const fs::path latest = LatestCheckpoint(config.output);
  if (latest.empty()) return absl::OkStatus();
  if (resume) return training.Restore(latest);
  return base::Error(absl::StatusCode::kFailedPrecondition,
                     base::Cat("there is a checkpoint, ", latest.string(),
                               ": resume it, or choose another out_dir"),
                     {.reason = "CHECKPOINT_EXISTS",
                      .metadata = {{"folder", latest.string()}}});
}

bool IsLogged(const TrainProgress& progress, int every) {
  return progress.step % every == 0 || progress.step == progress.steps ||
         (!progress.warming_up && progress.step == 1);
}

}  // namespace

absl::StatusOr<TrainingEnd> RunTraining(const TrainConfig& config,
                                        const RunTrainingOptions& options,
                                        Training& training) {
  RETURN_IF_ERROR(Begin(config, options.resume, training));
  std::error_code error;
  fs::create_directories(config.output, error);
  const MetricsLog log(config.output / "metrics.jsonl");
  RETURN_IF_ERROR(log.TruncateAfter(training.step()));
  while (!training.done()) {
    ASSIGN_OR_RETURN(const TrainProgress progress, training.Next());
    if (IsLogged(progress, config.log_every)) {
      RETURN_IF_ERROR(log.Append(progress));
    }
    const bool due =
        !progress.warming_up && progress.step % config.save_every == 0;
    const bool stop = !options.on_step(progress) && !training.done();
    if (due || stop || training.done()) {
      RETURN_IF_ERROR(SaveCheckpoint(config.output, training));
    }
    if (stop) return TrainingEnd::kStopped;
  }
  RETURN_IF_ERROR(training.Export(config.output / "decomposition"));
  return TrainingEnd::kDone;
}

}  // namespace spar::models
