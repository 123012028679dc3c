// L1. Halves a batch that does not fit in memory.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/ablation.h"
#include "models/attribution.h"
#include "models/backend.h"
#include "models/evaluation.h"
#include "models/prune.h"

namespace spar::models {

// A Backend that answers as the one it owns does, but runs a batch refused with
// kResourceExhausted as two halves, and those as quarters; only a single row
// that does not fit is refused, with the inner backend's error and its numbers.
// Remembers nothing between calls. Not thread-safe, as every Backend.
class SplittingBackend final : public Backend {
 public:
  explicit SplittingBackend(std::unique_ptr<Backend> inner);

  const ModelInfo& info() const override { return inner_->info(); }
  const UnitTable& units() const override { return inner_->units(); }
  const Calibration& calibration() const override {
    return inner_->calibration();
  }
  std::span<const std::vector<TokenId>> reference_prompts() const override {
    return inner_->reference_prompts();
  }
  absl::StatusOr<std::string> ReferenceDigest(ReferenceKind kind) override {
    return inner_->ReferenceDigest(kind);
  }
  absl::StatusOr<std::vector<RowResult>> Evaluate(
      std::span<const Row> rows) override;
  absl::StatusOr<std::vector<RowGradient>> Gradients(
      std::span<const GradientRow> rows) override;
  absl::StatusOr<double> EvaluateExactly(const Row& row) override {
    return inner_->EvaluateExactly(row);
  }
  absl::StatusOr<std::vector<PositionPrediction>> Predict(
      std::span<const TokenId> tokens, int top_k) override {
    return inner_->Predict(tokens, top_k);
  }
  std::span<const DecompositionInfo> decompositions() const override {
    return inner_->decompositions();
  }
  absl::StatusOr<std::vector<PromptImportances>> Importances(
      std::string_view decomposition,
      std::span<const std::vector<TokenId>> prompts,
      const ImportanceOptions& options) override;
  const DecompositionSpec* FindDecomposition(
      std::string_view name) const override {
    return inner_->FindDecomposition(name);
  }
  absl::StatusOr<std::unique_ptr<Ablation>> Ablate(
      const AblationRequest& request) override {
    return inner_->Ablate(request);
  }
  absl::StatusOr<AttributionSummary> Attribute(
      const AttributionRequest& request, AttributionSink& sink) override {
    return inner_->Attribute(request, sink);
  }
  absl::StatusOr<std::unique_ptr<Pruning>> Prune(
      const PruneRequest& request) override {
    return inner_->Prune(request);
  }
  absl::StatusOr<std::unique_ptr<Evaluation>> EvaluateDecomposition(
      const EvaluationRequest& request) override {
    return inner_->EvaluateDecomposition(request);
  }

 private:
  const std::unique_ptr<Backend> inner_;
};

}  // namespace spar::models
