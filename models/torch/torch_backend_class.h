// L1t. The one Backend on LibTorch: what MakeTorchBackend makes. Loading and
// the other questions are in torch_backend.cc, rows in torch_backend_rows.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "models/torch/batch_plan.h"
#include "models/torch/compaction.h"
#include "models/torch/decomposed_decoder.h"
#include "models/torch/dense_checker.h"
#include "models/torch/parameters.h"
#include "models/torch/resident_decompositions.h"
#include "models/torch/torch_backend.h"

namespace spar::models {

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
  absl::StatusOr<std::unique_ptr<Evaluation>> EvaluateDecomposition(
      const EvaluationRequest& request) override;
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

}  // namespace spar::models
