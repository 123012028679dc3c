// L1t. What runs under the masks of some modules say, and how sparse they are.
#pragma once

#include <cstdint>
#include <vector>

#include "models/torch/evaluate/evaluation_pass.h"
#include "models/torch/evaluate/importance_sums.h"
#include "models/torch/evaluate/masked_runs.h"
#include "models/torch/evaluate/run_errors.h"

namespace spar::models {

// The table of masking strategies and the curve of cross-entropy against
// sparsity, of all modules or of one subset; with all modules also the
// statistics of the importances and the errors inside the model.
class ReconstructionPass final : public EvaluationPass {
 public:
  // `subset`: of the request, or kAllModules. Both references outlive this.
  ReconstructionPass(const EvaluationSubject& subject,
                     const EvaluationRequest& request,
                     int subset);

  EvaluationPhase phase() const override {
    return of_all() ? EvaluationPhase::kReconstruction
                    : EvaluationPhase::kSubset;
  }
  bool needs_trace() const override { return of_all(); }
  int64_t CountBatches(int64_t all) const override { return all; }
  int64_t StepsPerBatch() const override { return std::ssize(runs_); }

  void Begin(EvaluatedBatch& batch, int64_t index) override;
  void Step(EvaluatedBatch& batch, int64_t step) override;
  std::vector<EvaluationPart> Finish() override;

 private:
  bool of_all() const { return subset_ == kAllModules; }
  RunErrors* ErrorsOf(const MaskedRun& run);
  Reconstruction Table() const;
  SparsityCurve Curve() const;

  const EvaluationSubject& subject_;
  const EvaluationRequest& request_;
  const int subset_;
  const std::vector<MaskedRun> runs_;
  std::vector<bool> masked_ = {};  // [module]
  int64_t batch_ = 0;

  int64_t num_positions_ = 0;
  int64_t num_next_tokens_ = 0;
  ReadingSums model_ = {};
  std::vector<ReadingSums> sums_ = {};              // [run]
  std::vector<std::vector<double>> point_l0_ = {};  // [point][module], sums
  ImportanceSums importances_ = {};
  RunErrors importance_errors_{EvaluationMasks::kCausalImportance};
  RunErrors stochastic_errors_{EvaluationMasks::kStochastic};
};

}  // namespace spar::models
