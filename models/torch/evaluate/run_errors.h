// L1t. How far masked runs are from the clean one inside the model.
#pragma once

#include <cstdint>
#include <vector>

#include "models/evaluation.h"
#include "models/torch/evaluate/evaluated_batch.h"

namespace spar::models {

// Sums over the masked runs of some masks. Throws c10::Error.
class RunErrors {
 public:
  explicit RunErrors(EvaluationMasks masks) : masks_(masks) {}

  // What a run of `batch`, whose clean trace is kept, is to show for it to be
  // added. Both outlive the run.
  ComponentRun Watch(EvaluatedBatch& batch);

  OutputErrors Outputs() const;
  PatternErrors Patterns() const;

 private:
  struct Sums {
    double error = 0;
    double clean = 0;
    int64_t count = 0;
  };
  void AddOutput(const EvaluatedBatch& batch,
                 int module,
                 const at::Tensor& output);
  void AddHeads(EvaluatedBatch& batch, int layer, const LayerHeads& heads);

  const EvaluationMasks masks_;
  std::vector<Sums> modules_ = {};
  std::vector<Sums> layers_ = {};  // error alone
};

}  // namespace spar::models
