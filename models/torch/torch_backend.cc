#include "models/torch/torch_backend.h"

#include <algorithm>
#include <utility>

#include <ATen/Parallel.h>

#include "base/status.h"
#include "models/ablation_check.h"
#include "models/evaluation_check.h"
#include "models/prune_check.h"
#include "models/row_check.h"
#include "models/torch/ablation/torch_ablation.h"
#include "models/torch/aten.h"
#include "models/torch/attribution/attribute.h"
#include "models/torch/attribution/factors.h"
#include "models/torch/calibration.h"
#include "models/torch/decomposition/sparse_importances.h"
#include "models/torch/device.h"
#include "models/torch/errors.h"
#include "models/torch/evaluate/torch_evaluation.h"
#include "models/torch/prune/torch_pruning.h"
#include "models/torch/readout.h"
#include "models/torch/torch_backend_class.h"

namespace spar::models {
namespace {

using base::Cat;

constexpr int64_t kCompactionBytes = int64_t{512} << 20;
constexpr int64_t kImportanceBytes = int64_t{1} << 30;
constexpr int64_t kCudaBatchBytes = int64_t{4} << 30;

}  // namespace

absl::Status TorchBackend::Load() {
  ASSIGN_OR_RETURN(const at::Device device, ParseDevice(options_.device));
  ASSIGN_OR_RETURN(const at::ScalarType dtype, ParseDtype(options_.dtype));
  RETURN_IF_ERROR(CheckWeightsFit(device, dtype));
  if (options_.num_threads > 0) at::set_num_threads(options_.num_threads);
  RETURN_IF_ERROR(CatchTorch("loading the weights", [&] {
    decoder_ = LoadDecoder(*snapshot_, device, dtype);
    return absl::OkStatus();
  }));
  compaction_ = std::make_unique<Compaction>(decoder_, kCompactionBytes);
  bare_ = std::make_unique<DecomposedDecoder>(decoder_,
                                              std::vector<ComponentModule>());
  max_batch_bytes_ = options_.max_batch_bytes;
  if (max_batch_bytes_ <= 0) {
    max_batch_bytes_ =
        device.is_cuda() ? kCudaBatchBytes : AvailableHostBytes() / 4;
  }
  const DecoderSpec& spec = decoder_.spec;
  info_ = {.family = spec.family,
           .digest = snapshot_->digest(),
           .weights_digest = snapshot_->weights_digest(),
           .config_json = snapshot_->config_json(),
           .num_layers = spec.num_layers,
           .width = spec.width,
           .num_heads = spec.num_heads,
           .num_neurons = spec.mlp_width,
           .vocab_size = spec.vocab_size,
           .context_length = spec.context_length,
           .num_parameters = decoder_.weights.num_parameters,
           .dtype = options_.dtype,
           .device = device.str()};
  for (size_t i = 0; i < options_.reference_prompts.size(); ++i) {
    RETURN_IF_ERROR(CheckTokens(info_, options_.reference_prompts[i],
                                Cat("reference_prompts[", i, "]")));
  }
  RETURN_IF_ERROR(LoadDecompositions());
  return MeasureCosts();
}

absl::Status TorchBackend::MeasureCosts() {
  const auto evaluate = [this](const ResidentDecomposition* resident) {
    return
        [this, resident](std::span<const Row> rows, const ReuseOptions& reuse) {
          return Run(resident, rows, Plan(resident, rows, reuse), reuse);
        };
  };
  ASSIGN_OR_RETURN(calibration_, Calibrate(info_, units_, evaluate(nullptr)));
  for (const DecompositionInfo& one : decompositions_.infos()) {
    ASSIGN_OR_RETURN(
        const double noise,
        MeasureNoise(info_, one, evaluate(decompositions_.Find(one.name))));
    calibration_.noise_floor = std::max(calibration_.noise_floor, noise);
  }
  return absl::OkStatus();
}

absl::Status TorchBackend::LoadDecompositions() {
  ASSIGN_OR_RETURN(const at::ScalarType dtype,
                   ParseDtype(options_.decomposition_dtype));
  if (dtype == at::kHalf) {
    return base::InvalidArgument(
        "BAD_DTYPE", "decomposition_dtype",
        "decompositions are kept in float32 or bfloat16, not in float16");
  }
  return decompositions_.Load(options_.decompositions, *snapshot_, decoder_,
                              dtype, options_.reference_prompts);
}

absl::StatusOr<std::vector<PromptImportances>> TorchBackend::Importances(
    std::string_view decomposition,
    std::span<const std::vector<TokenId>> prompts,
    const ImportanceOptions& options) {
  ASSIGN_OR_RETURN(const size_t index,
                   CheckImportances(*this, decomposition, prompts, options));
  return ComputeImportances(decoder_, *decompositions_.at(index).loaded,
                            prompts, options,
                            std::min(kImportanceBytes, max_batch_bytes_));
}

absl::StatusOr<AttributionSummary> TorchBackend::Attribute(
    const AttributionRequest& request, AttributionSink& sink) {
  RETURN_IF_ERROR(CheckTokens(info_, request.tokens, "prompt"));
  RETURN_IF_ERROR(CheckDecomposition(*this, request.decomposition));
  AttributionModel model{.decoder = &decoder_, .max_bytes = max_batch_bytes_};
  const ResidentDecomposition* const resident =
      decompositions_.Find(request.decomposition);
  if (resident == nullptr) return models::Attribute(request, model, sink);
  const std::vector<ModuleFactors> factors =
      FactorsOf(resident->decoder->modules());
  std::vector<at::Tensor> importances;
  RETURN_IF_ERROR(CatchTorch("causal importances", [&]() -> absl::Status {
    ASSIGN_OR_RETURN(importances, DenseImportances(decoder_, *resident->loaded,
                                                   request.tokens));
    return absl::OkStatus();
  }));
  model.factors = factors;
  model.importances = importances;
  return models::Attribute(request, model, sink);
}

std::unique_ptr<TorchBackend> TorchBackend::Twin() const {
  auto twin = std::make_unique<TorchBackend>(snapshot_, options_);
  twin->info_ = info_;
  twin->calibration_ = calibration_;
  twin->decoder_ = decoder_;
  twin->max_batch_bytes_ = max_batch_bytes_;
  twin->compaction_ =
      std::make_unique<Compaction>(twin->decoder_, kCompactionBytes);
  twin->bare_ = std::make_unique<DecomposedDecoder>(
      twin->decoder_, std::vector<ComponentModule>());
  twin->decompositions_ =
      decompositions_.Twin(twin->decoder_, twin->options_.reference_prompts);
  return twin;
}

absl::Status TorchBackend::CheckWeightsFit(at::Device device,
                                           at::ScalarType dtype) const {
  if (!device.is_cpu()) return absl::OkStatus();  // its allocator says so
  const int64_t bytes = CountWeights(snapshot_->spec()) *
                        static_cast<int64_t>(c10::elementSize(dtype));
  const int64_t available = AvailableHostBytes();
  if (bytes <= available) return absl::OkStatus();
  return base::Error(
      absl::StatusCode::kResourceExhausted,
      Cat("the weights need ", bytes, " bytes; ", available, " are available"),
      {.reason = "MODEL_TOO_LARGE",
       .metadata = {{"bytes", Cat(bytes)},
                    {"available_bytes", Cat(available)}}});
}

absl::StatusOr<std::vector<PositionPrediction>> TorchBackend::Predict(
    std::span<const TokenId> tokens, int top_k) {
  RETURN_IF_ERROR(CheckTokens(info_, tokens, "prompt"));
  constexpr int64_t kPositionsPerChunk = 64;
  std::vector<PositionPrediction> predictions;
  RETURN_IF_ERROR(CatchTorch("predicting", [&] {
    const c10::InferenceMode inference;
    SequenceBatch batch(decoder_, {WholeSequence(tokens)});
    MaskOptions options;
    options.last_only = false;
    const at::Tensor stream = MaskedForward(decoder_, batch, options);
    const int64_t length = stream.size(0);
    for (int64_t at = 0; at < length; at += kPositionsPerChunk) {
      const int64_t count = std::min(kPositionsPerChunk, length - at);
      const auto next = tokens.subspan(std::min(at + 1, length));
      std::vector<PositionPrediction> some = ReadPredictions(
          Logits(decoder_, stream.narrow(0, at, count)), next, top_k);
      std::move(some.begin(), some.end(), std::back_inserter(predictions));
    }
    return absl::OkStatus();
  }));
  return predictions;
}

const DecompositionSpec* TorchBackend::FindDecomposition(
    std::string_view name) const {
  const ResidentDecomposition* const found = decompositions_.Find(name);
  return found == nullptr ? nullptr : &found->loaded->spec();
}

absl::StatusOr<std::unique_ptr<Ablation>> TorchBackend::Ablate(
    const AblationRequest& request) {
  RETURN_IF_ERROR(CheckDecomposition(*this, request.decomposition));
  RETURN_IF_ERROR(CheckAblation(
      info_, units_, FindDecomposition(request.decomposition), request));
  AblationSubject subject;
  subject.model = &decoder_;
  subject.decomposed = bare_.get();
  const ResidentDecomposition* const resident =
      decompositions_.Find(request.decomposition);
  if (resident != nullptr) {
    subject.decomposed = resident->decoder.get();
    subject.sampling = resident->loaded->spec().sampling;
    subject.importances = [this, resident](std::span<const TokenId> tokens) {
      return DenseImportances(decoder_, *resident->loaded, tokens);
    };
  }
  AblationLimits limits;
  limits.max_batch_bytes = std::min(limits.max_batch_bytes, max_batch_bytes_);
  return MakeTorchAblation(subject, request, limits);
}

absl::StatusOr<std::unique_ptr<Pruning>> TorchBackend::Prune(
    const PruneRequest& request) {
  RETURN_IF_ERROR(CheckDecomposition(*this, request.decomposition));
  RETURN_IF_ERROR(CheckPrune(info_, request));
  const ResidentDecomposition* const resident =
      decompositions_.Find(request.decomposition);
  for (size_t i = 0; i < request.prompts.size(); ++i) {
    RETURN_IF_ERROR(CheckImportanceLength(*resident->loaded,
                                          request.prompts[i].tokens.size(),
                                          Cat("prompts[", i, "].tokens")));
  }
  PruneSubject subject;
  subject.decomposed = resident->decoder.get();
  subject.sigmoid = resident->loaded->spec().sigmoid;
  subject.sampling = resident->loaded->spec().sampling;
  subject.logits = [this, resident](std::span<const TokenId> tokens) {
    return DenseLogits(decoder_, *resident->loaded, tokens);
  };
  PruneLimits limits;
  limits.max_batch_bytes = std::min(limits.max_batch_bytes, max_batch_bytes_);
  return MakeTorchPruning(subject, request, limits);
}

absl::StatusOr<std::unique_ptr<Evaluation>> TorchBackend::EvaluateDecomposition(
    const EvaluationRequest& request) {
  ASSIGN_OR_RETURN(const size_t index, CheckEvaluation(*this, request));
  const ResidentDecomposition& resident = decompositions_.at(index);
  for (size_t i = 0; i < request.rows.size(); ++i) {
    RETURN_IF_ERROR(CheckImportanceLength(
        *resident.loaded, request.rows[i].size(), Cat("rows[", i, "]")));
  }
  EvaluationSubject subject;
  subject.info = &resident.loaded->info();
  subject.decomposed = resident.decoder.get();
  subject.importances = [this, &resident](SequenceBatch& batch) {
    return BatchImportances(decoder_, *resident.loaded, batch);
  };
  return MakeTorchEvaluation(subject, request,
                             {.max_batch_bytes = max_batch_bytes_});
}

absl::StatusOr<std::vector<std::unique_ptr<Backend>>> MakeTorchBackends(
    std::shared_ptr<const Snapshot> snapshot,
    const TorchBackendOptions& options,
    int count) {
  auto first = std::make_unique<TorchBackend>(std::move(snapshot), options);
  RETURN_IF_ERROR(first->Load());
  std::vector<std::unique_ptr<Backend>> backends;
  for (int i = 1; i < count && first->on_cpu(); ++i) {
    backends.push_back(first->Twin());
  }
  backends.insert(backends.begin(), std::move(first));
  return backends;
}

absl::StatusOr<std::unique_ptr<Backend>> MakeTorchBackend(
    std::shared_ptr<const Snapshot> snapshot,
    const TorchBackendOptions& options) {
  auto backend = std::make_unique<TorchBackend>(std::move(snapshot), options);
  RETURN_IF_ERROR(backend->Load());
  return backend;
}

}  // namespace spar::models
