#include "models/train/run_training.h"

#include "base/status.h"
#include "models/train/checkpoint.h"
#include "models/train/metrics_log.h"
#include "models/train/output_lock.h"
#include "models/train/training_plots.h"

namespace spar::models {
namespace {

namespace fs = std::filesystem;

constexpr int kKeptCheckpoints = 2;

absl::Status SaveCheckpoint(const fs::path& output,
                            const RunTrainingOptions& options,
                            const Training& training) {
  const fs::path folder = CheckpointFolder(output, training.step());
  RETURN_IF_ERROR(training.Save(folder));
  PruneCheckpoints(output, kKeptCheckpoints);
  if (options.on_checkpoint) options.on_checkpoint(folder);
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

}  // namespace

bool IsLogged(const TrainProgress& progress, int log_every) {
  return progress.step % log_every == 0 || progress.step == progress.steps ||
         (!progress.warming_up && progress.step == 1);
}

absl::StatusOr<TrainingEnd> RunTraining(const TrainConfig& config,
                                        const RunTrainingOptions& options,
                                        Training& training) {
  ASSIGN_OR_RETURN(const OutputLock lock, OutputLock::Take(config.output));
  RETURN_IF_ERROR(Begin(config, options.resume, training));
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
      RETURN_IF_ERROR(SaveCheckpoint(config.output, options, training));
    }
    if (stop) return TrainingEnd::kStopped;
  }
  RETURN_IF_ERROR(training.Export(config.output / "decomposition"));
  RETURN_IF_ERROR(WriteTrainingPlots(config.output));
  return TrainingEnd::kDone;
}

}  // namespace spar::models
