#include "models/torch/torch_backend.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <ATen/Parallel.h>

#include "base/status.h"
#include "models/digest.h"
#include "models/row_check.h"
#include "models/torch/aten.h"
#include "models/torch/dense_checker.h"
#include "models/torch/device.h"
#include "models/torch/errors.h"
#include "models/torch/gradients.h"
#include "models/torch/means_file.h"
#include "models/torch/readout.h"
#include "models/torch/reference_means.h"

namespace spar::models {
namespace {

using base::Cat;

class TorchBackend final : public Backend {
 public:
  TorchBackend(std::shared_ptr<const Snapshot> snapshot,
               const TorchBackendOptions& options)
      : snapshot_(std::move(snapshot)),
        options_(options),
        units_(MakeUnitTable(snapshot_->spec())) {}

  absl::Status Load();

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

 private:
  const ReferenceValues* Reference(ReferenceKind kind);

  const std::shared_ptr<const Snapshot> snapshot_;
  const TorchBackendOptions options_;
  const UnitTable units_;
  ModelInfo info_;
  Calibration calibration_;
  Decoder decoder_;
  std::unique_ptr<ReferenceValues> means_;  // made when first asked for
  std::unique_ptr<DenseChecker> checker_;   // made when first asked for
};

absl::Status TorchBackend::Load() {
  ASSIGN_OR_RETURN(const at::Device device, ParseDevice(options_.device));
  ASSIGN_OR_RETURN(const at::ScalarType dtype, ParseDtype(options_.dtype));
  if (options_.num_threads > 0) at::set_num_threads(options_.num_threads);
  RETURN_IF_ERROR(CatchTorch("loading the weights", [&] {
    decoder_ = LoadDecoder(*snapshot_, device, dtype);
    return absl::OkStatus();
  }));
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
  return absl::OkStatus();
}

absl::StatusOr<std::string> TorchBackend::ReferenceDigest(ReferenceKind kind) {
  if (kind == ReferenceKind::kMean && options_.reference_prompts.empty()) {
    return base::Error(absl::StatusCode::kFailedPrecondition,
                       "the model has no reference prompts",
                       {.reason = "NO_REFERENCE_PROMPTS"});
  }
  return ReferenceDigestOf(kind, options_.reference_prompts);
}

const ReferenceValues* TorchBackend::Reference(ReferenceKind kind) {
  if (kind == ReferenceKind::kZero) return nullptr;
  if (means_ != nullptr) return means_.get();
  auto means = std::make_unique<ReferenceValues>();
  const MeansFile file(
      options_.cache_dir,
      Sha256Hex(Cat(info_.digest, "\n",
                    ReferenceDigestOf(kind, options_.reference_prompts), "\n",
                    info_.dtype)));
  if (file.Read(decoder_.spec, *means)) {
    means->MoveTo(decoder_.device);
  } else {
    *means = MeasureMeans(decoder_, options_.reference_prompts);
    file.Write(*means);
  }
  means_ = std::move(means);
  return means_.get();
}

absl::StatusOr<std::vector<RowResult>> TorchBackend::Evaluate(
    std::span<const Row> rows) {
  RETURN_IF_ERROR(CheckRows(*this, rows));
  std::vector<RowResult> results(rows.size());
  RETURN_IF_ERROR(CatchTorch("evaluating rows", [&] {
    const c10::InferenceMode inference;
    std::vector<int> order(rows.size());
    std::iota(order.begin(), order.end(), 0);
    const auto key = [&](int i) {
      return std::pair(rows[i].prompt->reference, rows[i].positions.Count());
    };
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return key(a) < key(b); });
    for (size_t begin = 0; begin < order.size();) {
      size_t end = begin;
      const ReferenceKind kind = rows[order[begin]].prompt->reference;
      std::vector<Sequence> sequences;
      std::vector<TokenId> targets;
      std::vector<float> masks;
      for (; end < order.size() && end < begin + 64; ++end) {
        const Row& row = rows[order[end]];
        if (row.prompt->reference != kind) break;
        sequences.push_back(MakeSequence(*row.prompt, row.positions, true));
        targets.push_back(row.prompt->target);
        for (int u = 0; u < units_.size(); ++u) {
          masks.push_back(row.units.Contains(u) ? 1 : 0);
        }
      }
      SequenceBatch batch(decoder_, std::move(sequences));
      MaskOptions options;
      options.masks = at::tensor(masks, at::dtype(at::kFloat))
                          .view({-1, units_.size()})
                          .to(decoder_.device, decoder_.dtype);
      options.reference = Reference(kind);
      const std::vector<RowResult> some = ReadMargins(
          Logits(decoder_, MaskedForward(decoder_, batch, options)), targets);
      for (size_t i = begin; i < end; ++i) results[order[i]] = some[i - begin];
      begin = end;
    }
    return absl::OkStatus();
  }));
  return results;
}

absl::StatusOr<std::vector<RowGradient>> TorchBackend::Gradients(
    std::span<const GradientRow> rows) {
  RETURN_IF_ERROR(CheckRows(*this, rows));
  std::vector<RowGradient> results(rows.size());
  RETURN_IF_ERROR(CatchTorch("differentiating rows", [&] {
    std::vector<const GradientRow*> chunk;
    for (const ReferenceKind kind :
         {ReferenceKind::kZero, ReferenceKind::kMean}) {
      std::vector<int> order;
      for (size_t i = 0; i < rows.size(); ++i) {
        if (rows[i].prompt->reference == kind)
          order.push_back(static_cast<int>(i));
      }
      std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
        return rows[a].positions.Count() < rows[b].positions.Count();
      });
      for (size_t begin = 0; begin < order.size(); begin += 32) {
        const size_t end = std::min(begin + 32, order.size());
        chunk.clear();
        for (size_t i = begin; i < end; ++i) chunk.push_back(&rows[order[i]]);
        std::vector<RowGradient> some =
            MaskGradients(decoder_, chunk, Reference(kind));
        for (size_t i = begin; i < end; ++i) {
          results[order[i]] = std::move(some[i - begin]);
        }
      }
    }
    return absl::OkStatus();
  }));
  return results;
}

absl::StatusOr<double> TorchBackend::EvaluateExactly(const Row& row) {
  RETURN_IF_ERROR(CheckRows(*this, std::span(&row, 1)));
  if (checker_ == nullptr) {
    ASSIGN_OR_RETURN(checker_,
                     DenseChecker::Make(snapshot_, options_.reference_prompts));
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

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> MakeTorchBackend(
    std::shared_ptr<const Snapshot> snapshot,
    const TorchBackendOptions& options) {
  auto backend = std::make_unique<TorchBackend>(std::move(snapshot), options);
  RETURN_IF_ERROR(backend->Load());
  return backend;
}

}  // namespace spar::models
