// L1t. What an adversary within the masks makes of the model, step by step.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "models/ablation.h"
#include "models/torch/ablation/adversary.h"
#include "models/torch/evaluate/evaluation_pass.h"

namespace spar::models {

// One attack of each batch reads the whole curve: what its k-th run says is the
// damage after k steps.
class AttackPass final : public EvaluationPass {
 public:
  // Both references outlive this; request.attack is there.
  AttackPass(const EvaluationSubject& subject,
             const EvaluationRequest& request,
             AttackScope scope);

  EvaluationPhase phase() const override { return EvaluationPhase::kAttack; }
  bool needs_trace() const override { return false; }
  int64_t CountBatches(int64_t all) const override;
  int64_t StepsPerBatch() const override {
    return attack_.restarts * RunsPerRestart();
  }

  void Begin(EvaluatedBatch& batch, int64_t index) override;
  void Step(EvaluatedBatch& batch, int64_t step) override;
  std::vector<EvaluationPart> Finish() override;

 private:
  int64_t RunsPerRestart() const { return attack_.step_counts.back() + 1; }

  const EvaluationSubject& subject_;
  const EvaluationRequest& request_;
  const EvaluationAttack& attack_;
  const AttackScope scope_;

  // Of the batch under way.
  AblationRequest adversary_ = {};
  std::unique_ptr<Attack> ascent_ = nullptr;
  std::vector<ReadingSums> of_batch_ = {};  // [step count], the worst restart

  ReadingSums model_ = {};
  std::vector<ReadingSums> sums_ = {};  // [step count]
  int64_t num_positions_ = 0;
  int64_t num_next_tokens_ = 0;
};

}  // namespace spar::models
