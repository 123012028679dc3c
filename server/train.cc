#include "server/train.h"

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "client/training_text.h"
#include <unistd.h>

#include "base/log.h"
#include "base/status.h"
#include "models/snapshot/snapshot.h"
#include "models/train/train_config_json.h"
#include "server/serve.h"
#include "server/service/training_to_proto.h"
#include "server/train_decoder.h"

namespace spar {
namespace {

constexpr int kTrained = 0;
constexpr int kFailed = 1;
constexpr int kBadConfig = 2;
constexpr int kStopped = 3;

// One line that is rewritten on a screen; elsewhere a line for each log.
class Display {
 public:
  explicit Display(int every) : every_(every) {}

  void Show(const models::TrainProgress& progress) {
    if (!screen_ && !models::IsLogged(progress, every_)) return;
    v1::TrainingProgress told;
    service::ToProto(progress, &told);
    const std::string text = client::TrainingText(told);
    if (screen_) {
      const bool last = progress.step == progress.steps;
      std::fprintf(stderr, "\r\033[K%s%s", text.c_str(), last ? "\n" : "");
    } else {
      std::fprintf(stderr, "%s\n", text.c_str());
    }
    std::fflush(stderr);
  }

 private:
  const int every_;
  const bool screen_ = isatty(STDERR_FILENO) != 0;
};

absl::StatusOr<models::TrainingEnd> Run(const TrainCommand& command) {
  ASSIGN_OR_RETURN(const models::TrainConfig config,
                   models::ReadTrainConfig(command.config));
  models::SnapshotOptions snapshot_options;
  snapshot_options.cache_dir = command.cache_dir;
  ASSIGN_OR_RETURN(std::shared_ptr<const models::Snapshot> snapshot,
                   models::Snapshot::Open(config.model, snapshot_options));
  Display display(config.log_every);
  models::RunTrainingOptions options;
  options.resume = command.resume;
  options.on_step = [&](const models::TrainProgress& progress) {
    display.Show(progress);
    return !StopSignalPending();
  };
  return TrainDecoder(
      config, std::move(snapshot),
      {.device = command.device, .num_threads = command.threads}, options);
}

}  // namespace

int Train(const TrainCommand& command) {
  const absl::StatusOr<models::TrainingEnd> end = Run(command);
  if (!end.ok()) {
    base::LogError(base::MessageOf(end.status()));
    const bool config = absl::IsInvalidArgument(end.status()) ||
                        absl::IsNotFound(end.status()) ||
                        absl::IsFailedPrecondition(end.status());
    return config ? kBadConfig : kFailed;
  }
  if (*end == models::TrainingEnd::kDone) return kTrained;
  base::LogInfo("stopped; --resume goes on from the checkpoint");
  return kStopped;
}

}  // namespace spar
