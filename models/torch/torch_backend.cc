#include "models/torch/torch_backend.h"

#include <algorithm>
#include <utility>

#include <ATen/Parallel.h>

#include "base/status.h"
#include "models/ablation_check.h"
#include "models/digest.h"
#include "models/prune_check.h"
#include "models/row_check.h"
#include "models/torch/ablation/torch_ablation.h"
#include "models/torch/aten.h"
#include "models/torch/attribution/attribute.h"
#include "models/torch/attribution/factors.h"
#include "models/torch/batch_plan.h"
#include "models/torch/calibration.h"
#include "models/torch/compaction.h"
#include "models/torch/decomposition/sparse_importances.h"
#include "models/torch/dense_checker.h"
#include "models/torch/device.h"
#include "models/torch/errors.h"
#include "models/torch/gradients.h"
#include "models/torch/means_file.h"
#include "models/torch/prune/torch_pruning.h"
#include "models/torch/readout.h"
#include "models/torch/reference_means.h"
#include "models/torch/resident_decompositions.h"
#include "models/torch/restricted_forward.h"
#include "models/torch/row_groups.h"

namespace spar::models {
namespace {

using base::Cat;

constexpr int64_t kCompactionBytes = int64_t{512} << 20;
constexpr int64_t kGradientBytes = int64_t{1} << 30;
constexpr int64_t kImportanceBytes = int64_t{1} << 30;
constexpr int64_t kCudaBatchBytes = int64_t{4} << 30;

class TorchBackend final : public Backend {
 public:
  TorchBackend(std::shared_ptr<const Snapshot> snapshot,
               const TorchBackendOptions& options)
      : snapshot_(std::move(snapshot)),
        options_(options),
        units_(MakeUnitTable(snapshot_->spec())) {}

  absl::Status Load();
  // Another on the same weights, after Load.
  std::unique_ptr<TorchBackend> Twin() const;
  bool on_cpu() const { return decoder_.device.is_cpu(); }

  const ModelInfo& info() const override { return info_; }
  const UnitTable& units() const override { return units_; }
  const Calibration& calibration() const override { return calibration_; }
  std::span<const std::vector<TokenId>> reference_prompts() const override {
    return options_.reference_prompts;
  }
  absl::StatusOr<std::string> ReferenceDigest(ReferenceKind kind) override;
  absl::StatusOr<std::vector<RowResult>> Evaluate(
      std::span<const Row> rows) override;
  absl::StatusOr<std::vector<RowGradient>> Gradients(
      std::span<const GradientRow> rows) override;
  absl::StatusOr<double> EvaluateExactly(const Row& row) override;
  absl::StatusOr<std::vector<PositionPrediction>> Predict(
      std::span<const TokenId> tokens, int top_k) override;
  const DecompositionSpec* FindDecomposition(
      std::string_view name) const override;
  absl::StatusOr<std::unique_ptr<Ablation>> Ablate(
      const AblationRequest& request) override;
  absl::StatusOr<std::unique_ptr<Pruning>> Prune(
      const PruneRequest& request) override;
  std::span<const DecompositionInfo> decompositions() const override {
    return decompositions_.infos();
  }
  absl::StatusOr<std::vector<PromptImportances>> Importances(
      std::string_view decomposition,
      std::span<const std::vector<TokenId>> prompts,
      const ImportanceOptions& options) override;
  absl::StatusOr<AttributionSummary> Attribute(
      const AttributionRequest& request, AttributionSink& sink) override;

 private:
  absl::Status LoadDecompositions();
  absl::Status MeasureCosts();
  absl::Status CheckWeightsFit(at::Device device, at::ScalarType dtype) const;
  // Null for zero. Throws c10::Error.
  const ReferenceFold* Reference(ReferenceKind kind);
  // Null: heads and neurons.
  const ResidentDecomposition* ResidentOf(const std::string* name) const {
    return name == nullptr ? nullptr : decompositions_.Find(*name);
  }
  // Rows that are all over the units of one decomposition, or of none.
  absl::StatusOr<std::vector<RowResult>> EvaluateAlike(
      const ResidentDecomposition* resident, std::span<const Row> rows);
  std::vector<PlannedBatch> Plan(const ResidentDecomposition* resident,
                                 std::span<const Row> rows,
                                 const ReuseOptions& reuse) const;
  absl::StatusOr<std::vector<RowResult>> Run(
      const ResidentDecomposition* resident,
      std::span<const Row> rows,
      const std::vector<PlannedBatch>& batches,
      const ReuseOptions& reuse);
  absl::StatusOr<std::vector<RowGradient>> DifferentiateAlike(
      const ResidentDecomposition* resident, std::span<const GradientRow> rows);
  void RunBatch(std::span<const Row> rows,
                const PlannedBatch& batch,
                const ReuseOptions& reuse,
                std::vector<RowResult>& results);
  void DifferentiateBatch(std::span<const GradientRow> rows,
                          const PlannedBatch& batch,
                          std::vector<RowGradient>& results);
  // kResourceExhausted with both numbers.
  absl::Status CheckFits(int64_t bytes, size_t rows) const;

  const std::shared_ptr<const Snapshot> snapshot_;
  const TorchBackendOptions options_;
  const UnitTable units_;
  ModelInfo info_;
  Calibration calibration_;
  Decoder decoder_;
  int64_t max_batch_bytes_ = 0;
  std::unique_ptr<Compaction> compaction_;
  std::unique_ptr<DecomposedDecoder> bare_;  // without any decomposition
  std::unique_ptr<ReferenceFold> means_;     // made when first asked for
  std::unique_ptr<DenseChecker> checker_;    // made when first asked for
  ResidentDecompositions decompositions_;
};

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

absl::StatusOr<std::string> TorchBackend::ReferenceDigest(ReferenceKind kind) {
  if (kind == ReferenceKind::kMean && options_.reference_prompts.empty()) {
    return base::Error(absl::StatusCode::kFailedPrecondition,
                       "the model has no reference prompts",
                       {.reason = "NO_REFERENCE_PROMPTS"});
  }
  return ReferenceDigestOf(kind, options_.reference_prompts);
}

const ReferenceFold* TorchBackend::Reference(ReferenceKind kind) {
  if (kind == ReferenceKind::kZero) return nullptr;
  if (means_ != nullptr) return means_.get();
  const c10::AutoGradMode no_gradients(false);  // not inference: kept for both
  ReferenceValues means;
  const MeansFile file(
      options_.cache_dir,
      Sha256Hex(Cat(info_.digest, "\n",
                    ReferenceDigestOf(kind, options_.reference_prompts), "\n",
                    info_.dtype)));
  if (!file.Read(decoder_.spec, means)) {
    means = MeasureMeans(decoder_, options_.reference_prompts);
    file.Write(means);
  }
  means.MoveTo(decoder_.device);
  means_ = std::make_unique<ReferenceFold>(
      FoldReference(decoder_, std::move(means)));
  return means_.get();
}

absl::StatusOr<std::vector<RowResult>> TorchBackend::Evaluate(
    std::span<const Row> rows) {
  RETURN_IF_ERROR(CheckRows(*this, rows));
  return ByDecomposition<RowResult>(
      rows, [this](const std::string* name, std::span<const Row> some) {
        return EvaluateAlike(ResidentOf(name), some);
      });
}

absl::StatusOr<std::vector<RowResult>> TorchBackend::EvaluateAlike(
    const ResidentDecomposition* resident, std::span<const Row> rows) {
  const std::vector<PlannedBatch> batches =
      Plan(resident, rows, options_.reuse);
  for (const PlannedBatch& batch : batches) {
    RETURN_IF_ERROR(CheckFits(batch.bytes, batch.rows.size()));
  }
  return Run(resident, rows, batches, options_.reuse);
}

std::vector<PlannedBatch> TorchBackend::Plan(
    const ResidentDecomposition* resident,
    std::span<const Row> rows,
    const ReuseOptions& reuse) const {
  if (resident != nullptr) {
    return resident->rows->Plan(rows, reuse, max_batch_bytes_);
  }
  return PlanBatches(rows, decoder_.spec, units_, reuse,
                     static_cast<int>(c10::elementSize(decoder_.dtype)));
}

absl::StatusOr<std::vector<RowResult>> TorchBackend::Run(
    const ResidentDecomposition* resident,
    std::span<const Row> rows,
    const std::vector<PlannedBatch>& batches,
    const ReuseOptions& reuse) {
  std::vector<RowResult> results(rows.size());
  RETURN_IF_ERROR(CatchTorch("evaluating rows", [&] {
    for (const PlannedBatch& batch : batches) {
      if (resident == nullptr) {
        RunBatch(rows, batch, reuse, results);
      } else {
        resident->rows->Run(rows, batch, reuse, results);
      }
    }
    return absl::OkStatus();
  }));
  return results;
}

void TorchBackend::RunBatch(std::span<const Row> rows,
                            const PlannedBatch& batch,
                            const ReuseOptions& reuse,
                            std::vector<RowResult>& results) {
  const ReferenceFold* const reference = Reference(batch.reference);
  const c10::InferenceMode inference;
  std::vector<const Row*> chosen;
  for (const int row : batch.rows) chosen.push_back(&rows[row]);
  const at::Tensor streams =
      RestrictedStreams(decoder_, *compaction_, chosen, reference, reuse);
  std::vector<TokenId> targets;
  for (const Row* const row : chosen) targets.push_back(row->prompt->target);
  const std::vector<RowResult> some = ReadStreams(decoder_, streams, targets);
  for (size_t i = 0; i < some.size(); ++i) results[batch.rows[i]] = some[i];
}

absl::Status TorchBackend::CheckFits(int64_t bytes, size_t rows) const {
  if (bytes <= max_batch_bytes_) return absl::OkStatus();
  return base::Error(
      absl::StatusCode::kResourceExhausted,
      Cat("a batch of ", rows, " rows needs ", bytes, " bytes; ",
          max_batch_bytes_, " may be used"),
      {.reason = "BATCH_TOO_LARGE",
       .metadata = {{"rows", Cat(rows)},
                    {"bytes", Cat(bytes)},
                    {"max_batch_bytes", Cat(max_batch_bytes_)}}});
}

absl::StatusOr<std::vector<RowGradient>> TorchBackend::Gradients(
    std::span<const GradientRow> rows) {
  RETURN_IF_ERROR(CheckRows(*this, rows));
  return ByDecomposition<RowGradient>(
      rows, [this](const std::string* name, std::span<const GradientRow> some) {
        return DifferentiateAlike(ResidentOf(name), some);
      });
}

absl::StatusOr<std::vector<RowGradient>> TorchBackend::DifferentiateAlike(
    const ResidentDecomposition* resident, std::span<const GradientRow> rows) {
  const int64_t max_bytes = std::min(kGradientBytes, max_batch_bytes_);
  const std::vector<PlannedBatch> batches =
      resident == nullptr ? PlanGradients(decoder_, rows, max_bytes)
                          : resident->rows->PlanGradients(rows, max_bytes);
  for (const PlannedBatch& batch : batches) {
    RETURN_IF_ERROR(CheckFits(batch.bytes, batch.rows.size()));
  }
  std::vector<RowGradient> results(rows.size());
  RETURN_IF_ERROR(CatchTorch("differentiating rows", [&] {
    for (const PlannedBatch& batch : batches) {
      if (resident == nullptr) {
        DifferentiateBatch(rows, batch, results);
      } else {
        resident->rows->RunGradients(rows, batch, results);
      }
    }
    return absl::OkStatus();
  }));
  return results;
}

void TorchBackend::DifferentiateBatch(std::span<const GradientRow> rows,
                                      const PlannedBatch& batch,
                                      std::vector<RowGradient>& results) {
  const ReferenceFold* const fold = Reference(batch.reference);
  std::vector<const GradientRow*> chosen;
  for (const int row : batch.rows) chosen.push_back(&rows[row]);
  std::vector<RowGradient> some = MaskGradients(
      decoder_, chosen, fold != nullptr ? &fold->values : nullptr);
  for (size_t i = 0; i < some.size(); ++i) {
    results[batch.rows[i]] = std::move(some[i]);
  }
}

absl::StatusOr<double> TorchBackend::EvaluateExactly(const Row& row) {
  RETURN_IF_ERROR(CheckRows(*this, std::span(&row, 1)));
  if (checker_ == nullptr) {
    ASSIGN_OR_RETURN(checker_,
                     DenseChecker::Make(snapshot_, options_.reference_prompts,
                                        options_.decompositions));
  }
  return checker_->Margin(row);
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

}  // namespace

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
