// L1. An exact closed-form toy model behind Backend, for tests without torch.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "base/mutex.h"
#include "models/ablation.h"
#include "models/backend.h"
#include "models/fake_decomposition.h"
#include "models/fake_model.h"

namespace spar::models {

struct FakeBackendOptions {
  int num_layers = 2;
  int num_heads = 2;     // per layer
  int num_neurons = 10;  // per layer
  int vocab_size = 24;
  int context_length = 32;
  // How strongly the stream feeds the neurons. 0: every unit adds a constant of
  // its own to the logits; 1: units interact, and a smaller set may pass where
  // a larger one fails.
  double interaction = 1;
  uint64_t seed = 1;
  double noise_floor = 1e-6;
  // Added to the margins of batches of several rows, by what else is in the
  // batch, as kernels that choose by shape do. Up to this, in logits.
  double batch_noise = 0;
  std::vector<std::vector<TokenId>> reference_prompts = {};
  // Names of its decompositions: Note [The fake decomposition].
  std::vector<std::string> decompositions = {};
  int num_components = 12;  // of each layer
};

struct FakeCounters {
  int64_t batches = 0;  // Evaluate calls that were answered or refused
  int64_t rows = 0;
  int64_t gradient_batches = 0;
  int64_t gradient_rows = 0;
  int64_t exact_rows = 0;
  int largest_batch = 0;
};

// Arithmetic: Note [The fake model], Note [The fake decomposition], Note [The
// fake pruning], Note [The fake evaluation]. The mean reference of a head or
// neuron is one value, its mean over the reference prompts.
//
// A Backend; beyond that contract, the functions of the second block may be
// called from any thread.
class FakeBackend final : public Backend {
 public:
  explicit FakeBackend(FakeBackendOptions options = {});

  const ModelInfo& info() const override { return info_; }
  const UnitTable& units() const override { return model_.units(); }
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
    return decomposition_infos_;
  }
  absl::StatusOr<std::vector<PromptImportances>> Importances(
      std::string_view decomposition,
      std::span<const std::vector<TokenId>> prompts,
      const ImportanceOptions& options) override;

  FakeCounters counters() const;
  // The next call of Evaluate or Gradients fails so.
  void FailNext(absl::Status status);
  // Every batch with a row whose prompt holds `token` fails so.
  void FailRowsWith(TokenId token, absl::Status status);
  // Batches of more rows fail with kResourceExhausted. 0: no limit.
  void LimitBatchRows(int limit);
  // Calls of Evaluate and Gradients wait from now on, until Release.
  void Hold();
  // Returns once a call waits.
  void AwaitHeld();
  void Release();

 private:
  absl::Status CheckPrompt(const Prompt* prompt,
                           const IndexSet& positions,
                           bool own_prediction) const;
  absl::Status CheckRow(const Row& row) const;
  absl::Status CheckGradientRow(const GradientRow& row) const;
  absl::Status Enter(std::span<const std::shared_ptr<const Prompt>> prompts);
  FakeForward Run(const Prompt& prompt,
                  const std::vector<float>& masks,
                  const IndexSet& positions) const;
  RowGradient Differentiate(const GradientRow& row) const;
  void MeasureMeans();
  void MakeDecompositions();
  const FakeDecomposition& DecompositionOf(const Prompt& prompt) const;

  const FakeBackendOptions options_;
  ModelInfo info_;
  const FakeModel model_;
  const std::vector<float> all_on_;  // [unit] 1
  Calibration calibration_;
  std::vector<double> means_;  // [unit]; empty without reference prompts
  std::vector<FakeDecomposition> decompositions_;
  std::vector<DecompositionInfo> decomposition_infos_;

  mutable base::Mutex mu_;
  base::CondVar changed_;
  FakeCounters counters_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Status> fail_next_ ABSL_GUARDED_BY(mu_);
  std::map<TokenId, absl::Status> bad_tokens_ ABSL_GUARDED_BY(mu_);
  int limit_ ABSL_GUARDED_BY(mu_) = 0;
  bool held_ ABSL_GUARDED_BY(mu_) = false;
  bool waiting_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace spar::models
