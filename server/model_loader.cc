#include "server/model_loader.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "models/decomposition/decomposition.h"
#include "models/snapshot/reference_prompts.h"
#include "models/snapshot/snapshot.h"
#include "models/splitting_backend.h"
#include "models/torch/torch_backend.h"
#include "server/search/explainer.h"

namespace spar {
namespace {

namespace fs = std::filesystem;
using Prompts = std::vector<std::vector<models::TokenId>>;

// The file that the configuration names must be there; the one beside the model
// may be absent.
absl::StatusOr<Prompts> LoadReferencePrompts(
    const ModelSource& source, const models::Tokenizer& tokenizer) {
  const bool named = !source.reference_prompts.empty();
  const fs::path file = named ? source.reference_prompts
                              : source.folder / models::kReferencePromptsFile;
  std::error_code ignored;
  if (!named && !fs::exists(file, ignored)) return Prompts();
  ASSIGN_OR_RETURN(const std::vector<std::string> lines,
                   models::ReadReferencePrompts(file));
  Prompts prompts;
  for (const std::string& line : lines) {
    absl::StatusOr<std::vector<models::TokenId>> tokens =
        tokenizer.Encode(line, models::EncodeOptions{});
    if (!tokens.ok()) {
      return base::Annotate(
          tokens.status(),
          base::Cat(file.string(), ", prompt ", prompts.size() + 1));
    }
    prompts.push_back(*std::move(tokens));
  }
  return prompts;
}

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

// Every decomposition of the source, opened and checked against its model.
absl::StatusOr<std::vector<models::NamedDecomposition>> OpenDecompositions(
    const ModelSource& source,
    const models::Snapshot& target,
    const models::SnapshotOptions& options) {
  std::vector<models::NamedDecomposition> opened;
  for (const DecompositionSource& decomposition : source.decompositions) {
    ASSIGN_OR_RETURN(
        std::unique_ptr<models::Decomposition> folder,
        models::Decomposition::Open(decomposition.folder, target, options));
    opened.push_back(
        {.name = decomposition.id, .decomposition = std::move(folder)});
  }
  return opened;
}

void LogDecompositions(
    const std::string& model,
    std::span<const models::DecompositionInfo> decompositions) {
  for (const models::DecompositionInfo& info : decompositions) {
    base::LogInfo(base::Cat(
        "models/", model, "/decompositions/", info.name, ": ",
        info.spec.modules.size(), " modules, ", info.spec.num_components(),
        " subcomponents, ", info.memory_bytes, " bytes in ", info.dtype,
        ", with all masks 1 it differs from its model by ", info.identity_error,
        ", digest ", std::string_view(info.digest).substr(0, 12)));
  }
}

absl::Status LoadInto(const ModelSource& source,
                      const ServeCommand& command,
                      service::ModelRegistry* registry) {
  const auto start = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(LoadedModel loaded, LoadModel(source, command.backend));
  const std::span<const models::DecompositionInfo> found =
      loaded.backends[0]->decompositions();
  const std::vector<models::DecompositionInfo> decompositions(found.begin(),
                                                              found.end());
  service::ServedModel served;
  served.id = source.id;
  served.tokenizer = std::move(loaded.tokenizer);
  served.explainer =
      search::Explainer::Make(std::move(loaded.backends), command.explainer);
  served.load_time = std::chrono::system_clock::now();
  const models::ModelInfo& info = served.explainer->info();
  const std::string about = base::Cat(
      "models/", source.id, ": ", info.family, ", ", info.num_parameters,
      " parameters, ", served.explainer->units().size(), " units, ", info.dtype,
      " on ", info.device, ", ", SecondsSince(start), " s, digest ",
      std::string_view(info.digest).substr(0, 12));
  RETURN_IF_ERROR(registry->Add(std::move(served)));
  base::LogInfo(about);
  LogDecompositions(source.id, decompositions);
  return absl::OkStatus();
}

}  // namespace

int BatchThreads(const BackendSettings& settings) {
  if (settings.threads > 0) return settings.threads;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / 2);
}

absl::StatusOr<LoadedModel> LoadModel(const ModelSource& source,
                                      const BackendSettings& settings) {
  models::SnapshotOptions snapshot_options;
  snapshot_options.cache_dir = settings.cache_dir;
  ASSIGN_OR_RETURN(std::shared_ptr<const models::Snapshot> snapshot,
                   models::Snapshot::Open(source.folder, snapshot_options));
  LoadedModel loaded;
  ASSIGN_OR_RETURN(loaded.tokenizer, models::Tokenizer::Open(source.folder));

  models::TorchBackendOptions options;
  options.device = settings.device;
  options.dtype = settings.dtype;
  const int processors =
      std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  options.num_threads = BatchThreads(settings);
  const int workers =
      settings.workers > 0 ? settings.workers : std::min(2, processors);
  options.max_batch_bytes = settings.max_batch_bytes;
  options.cache_dir = settings.cache_dir;
  ASSIGN_OR_RETURN(options.reference_prompts,
                   LoadReferencePrompts(source, *loaded.tokenizer));
  options.decomposition_dtype = settings.decomposition_dtype;
  ASSIGN_OR_RETURN(options.decompositions,
                   OpenDecompositions(source, *snapshot, snapshot_options));
  ASSIGN_OR_RETURN(
      std::vector<std::unique_ptr<models::Backend>> backends,
      models::MakeTorchBackends(std::move(snapshot), options, workers));
  for (std::unique_ptr<models::Backend>& backend : backends) {
    loaded.backends.push_back(
        std::make_unique<models::SplittingBackend>(std::move(backend)));
  }
  return loaded;
}

absl::Status LoadModels(const ServeCommand& command,
                        service::ModelRegistry* registry) {
  absl::Status last;
  for (const ModelSource& source : command.models) {
    absl::Status status = LoadInto(source, command, registry);
    if (status.ok()) continue;
    last = base::Annotate(status,
                          base::Cat("models/", source.id, " cannot be served"));
    if (command.require_all_models) return last;
    base::LogError(base::MessageOf(last));
  }
  if (registry->size() > 0) return absl::OkStatus();
  return base::Annotate(last, "no model can be served; the last one");
}

}  // namespace spar
