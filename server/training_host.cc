#include "server/training_host.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_replace.h"

#include "base/status.h"
#include "models/decomposition/decomposition.h"
#include "models/snapshot/snapshot.h"
#include "models/train/confined_path.h"
#include "models/train/train_config_json.h"
#include "server/model_loader.h"
#include "server/train_decoder.h"

namespace spar {
namespace {

namespace fs = std::filesystem;

constexpr char kConfigField[] = "config_json";
// Of an output folder: what a training writes there.
constexpr const char* kWritten[] = {"checkpoints", "decomposition", "plots",
                                    "metrics.jsonl", "metrics.jsonl.part"};

// An error of the configuration as one of the request's field.
absl::Status OfRequest(const absl::Status& status) {
  if (!absl::IsInvalidArgument(status)) return status;
  base::ErrorDetail detail =
      base::DetailOf(status).value_or(base::ErrorDetail{});
  if (detail.field.empty() && detail.metadata.contains("field")) {
    detail.field = detail.metadata.at("field");
  }
  detail.field = detail.field.empty()
                     ? kConfigField
                     : base::Cat(kConfigField, ".", detail.field);
  return base::Error(status.code(), base::MessageOf(status), detail);
}

// An error of a run, with paths as its client names them: within `root`.
absl::Status WithinFolder(const absl::Status& status, const fs::path& root) {
  const std::string prefix = base::Cat(root.string(), "/");
  const auto shortened = [&](std::string_view text) {
    return absl::StrReplaceAll(base::AbslView(text), {{prefix, ""}});
  };
  const std::string message = shortened(base::MessageOf(status));
  std::optional<base::ErrorDetail> detail = base::DetailOf(status);
  if (!detail.has_value()) return absl::Status(status.code(), message);
  for (auto& [key, value] : detail->metadata) value = shortened(value);
  return base::Error(status.code(), message, *detail);
}

// Reads the configuration, with its paths in `root`.
absl::StatusOr<models::TrainConfig> ConfigOf(const fs::path& root,
                                             const std::string& text) {
  ASSIGN_OR_RETURN(
      models::TrainConfig config,
      models::ParseTrainConfig(kConfigField, text, {.names_model = false}));
  const fs::path output = config.output;
  ASSIGN_OR_RETURN(config.output,
                   models::ConfinedPath(root, output, "out_dir"));
  for (const char* name : kWritten) {
    RETURN_IF_ERROR(
        models::ConfinedPath(root, output / name, "out_dir").status());
  }
  if (config.data.kind == models::DataConfig::Kind::kDemo) return config;
  ASSIGN_OR_RETURN(
      config.data.path,
      models::ConfinedPath(root, config.data.path, "task_config.path"));
  std::error_code error;
  const bool exists = fs::exists(config.data.path, error);
  if (!exists || fs::is_regular_file(config.data.path, error)) return config;
  return base::InvalidArgument("BAD_DATA", "task_config.path",
                               "field 'task_config.path' names no plain file");
}

// What one observer is told, with paths as its client names them.
models::RunTrainingOptions OptionsOf(const models::TrainConfig& config,
                                     const fs::path& root,
                                     bool resume,
                                     service::TrainingObserver& observer) {
  models::RunTrainingOptions options;
  options.resume = resume;
  options.on_step = [&observer, every = config.log_every](
                        const models::TrainProgress& progress) {
    return observer.OnStep(progress, models::IsLogged(progress, every));
  };
  options.on_checkpoint = [&observer, root](const fs::path& folder) {
    observer.OnCheckpoint(std::stoll(folder.filename().string()),
                          folder.lexically_relative(root).string());
  };
  return options;
}

class TrainingHostBelow final : public service::TrainingHost {
 public:
  explicit TrainingHostBelow(const ServeCommand& command)
      : root_(command.training_dir),
        models_(command.models),
        device_{.device = command.backend.device,
                .num_threads = BatchThreads(command.backend)} {
    snapshot_options_.cache_dir = command.backend.cache_dir;
  }

  absl::StatusOr<service::TrainingResult> Train(
      const service::TrainingOrder& order,
      service::TrainingObserver& observer) override {
    absl::StatusOr<models::TrainConfig> config =
        ConfigOf(root_, order.config_json);
    if (!config.ok()) return OfRequest(config.status());
    ASSIGN_OR_RETURN(const std::shared_ptr<const models::Snapshot> snapshot,
                     OpenTarget(*order.model));
    config->model = snapshot->folder();
    std::error_code error;
    const fs::path root = fs::canonical(root_, error);
    observer.OnBegin(
        {.config_digest = config->digest,
         .out_dir = config->output.lexically_relative(root).string()});
    const absl::StatusOr<models::TrainingEnd> end =
        TrainDecoder(*config, snapshot, device_,
                     OptionsOf(*config, root, order.resume, observer));
    if (!end.ok()) return OfRequest(WithinFolder(end.status(), root));
    if (*end == models::TrainingEnd::kStopped) return service::TrainingResult{};
    const fs::path made = config->output / "decomposition";
    ASSIGN_OR_RETURN(
        const std::unique_ptr<models::Decomposition> decomposition,
        models::Decomposition::Open(made, *snapshot, snapshot_options_));
    return service::TrainingResult{
        .done = true,
        .path = made.lexically_relative(root).string(),
        .digest = decomposition->digest()};
  }

 private:
  // The folder of a resident model, as it was when it was loaded.
  absl::StatusOr<std::shared_ptr<const models::Snapshot>> OpenTarget(
      const service::ServedModel& model) const {
    const auto source = std::ranges::find(models_, model.id, &ModelSource::id);
    INVARIANT(source != models_.end());
    ASSIGN_OR_RETURN(std::shared_ptr<const models::Snapshot> snapshot,
                     models::Snapshot::Open(source->folder, snapshot_options_));
    const std::string& resident = model.explainer->info().digest;
    if (snapshot->digest() == resident) return snapshot;
    return base::Error(
        absl::StatusCode::kFailedPrecondition,
        base::Cat("the folder of models/", model.id,
                  " has changed since it was loaded: its digest is ",
                  snapshot->digest(), ", and the resident model's ", resident),
        {.reason = "MODEL_CHANGED",
         .metadata = {{"digest", snapshot->digest()},
                      {"resident_digest", resident}}});
  }

  const fs::path root_;
  const std::vector<ModelSource> models_;
  const models::DecoderTrainingOptions device_;
  models::SnapshotOptions snapshot_options_;
};

}  // namespace

std::unique_ptr<service::TrainingHost> MakeTrainingHost(
    const ServeCommand& command) {
  if (command.training_dir.empty()) return nullptr;
  return std::make_unique<TrainingHostBelow>(command);
}

}  // namespace spar
