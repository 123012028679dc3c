// L1t. One way over all batches.
#pragma once

#include <cstdint>
#include <vector>

#include "models/evaluation.h"
#include "models/torch/evaluate/evaluated_batch.h"

namespace spar::models {

// What comes of one pass over the batches; each is prepared, then worked on in
// steps. Throws c10::Error.
class EvaluationPass {
 public:
  virtual ~EvaluationPass() = default;

  virtual EvaluationPhase phase() const = 0;
  virtual bool needs_trace() const = 0;
  // The first so many batches of `all`.
  virtual int64_t CountBatches(int64_t all) const = 0;
  virtual int64_t StepsPerBatch() const = 0;

  // A batch, the index-th, at the beginning of its steps; it stays until they
  // are done.
  virtual void Begin(EvaluatedBatch& batch, int64_t index) = 0;
  // The steps of the batch in order, counted from 0.
  virtual void Step(EvaluatedBatch& batch, int64_t step) = 0;
  // After the last batch.
  virtual std::vector<EvaluationPart> Finish() = 0;
};

}  // namespace spar::models
