#include "server/train.h"

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include <unistd.h>

#include "base/log.h"
#include "base/status.h"
#include "models/snapshot/snapshot.h"
#include "models/train/train_config_json.h"
#include "server/serve.h"
#include "server/train_decoder.h"

namespace spar {
namespace {

constexpr int kTrained = 0;
constexpr int kFailed = 1;
constexpr int kBadConfig = 2;
constexpr int kStopped = 3;

std::string Short(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.4g", value);
  return text;
}

std::string DurationText(double seconds) {
  const auto whole = static_cast<long long>(seconds);
  char text[32];
  std::snprintf(text, sizeof(text), "%lld:%02lld:%02lld", whole / 3600,
                whole / 60 % 60, whole % 60);
  return text;
}

// "step 1200/40000  total 0.83  FaithfulnessLoss 1.2e-06 ..  l0 31.2 of 410
// alive  0.21 s/step  2:14:08 left".
std::string ProgressText(const models::TrainProgress& progress) {
  std::string text =
      base::Cat(progress.warming_up ? "faithfulness " : "step ", progress.step,
                "/", progress.steps, "  total ", Short(progress.total));
  for (const models::TrainTerm& term : progress.terms) {
    text += base::Cat("  ", term.name, " ", Short(term.value));
  }
  double l0 = 0;
  int alive = 0;
  for (const models::TrainModule& module : progress.modules) {
    l0 += module.l0;
    alive += module.alive;
  }
  if (!progress.modules.empty()) {
    text += base::Cat("  l0 ", Short(l0), " of ", alive, " alive");
  }
  text += base::Cat("  ", Short(progress.seconds), " s/step");
  if (!progress.warming_up) {
    text += base::Cat("  ", DurationText(progress.eta_seconds), " left");
  }
  return text;
}

// One line that is rewritten on a screen; elsewhere a line for each log.
class Display {
 public:
  explicit Display(int every) : every_(every) {}

  void Show(const models::TrainProgress& progress) {
    const bool last = progress.step == progress.steps;
    if (screen_) {
      std::fprintf(stderr, "\r\033[K%s%s", ProgressText(progress).c_str(),
                   last ? "\n" : "");
    } else if (progress.step % every_ == 0 || last) {
      std::fprintf(stderr, "%s\n", ProgressText(progress).c_str());
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
