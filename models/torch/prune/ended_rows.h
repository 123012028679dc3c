// L1t. What rows of a pruning came to: the runs that say so.
#pragma once

#include <memory>
#include <vector>

#include "models/prune.h"
#include "models/torch/prune/optimisation.h"

namespace spar::models {

// A batch of rows that have ended. Not thread-safe. Throws c10::Error; outside
// any InferenceMode.
class EndedRows {
 public:
  // The references outlive this. Makes the batch when it is first advanced.
  EndedRows(const PruneSubject& subject,
            const PruneRequest& request,
            std::vector<EndedRow> rows);

  // A step of the attack on the final importances, or what every row came to.
  std::vector<PrunedRow> Advance();

 private:
  void Begin();
  PrunedRow Describe(const EndedRow& row, const float* importances) const;

  const PruneSubject& subject_;
  const PruneRequest& request_;
  const std::vector<EndedRow> rows_;
  std::unique_ptr<RowBatch> batch_ = nullptr;
  at::Tensor lower_ = {};                        // g of all rows' nodes
  std::unique_ptr<RowAttack> attack_ = nullptr;  // null: none
};

}  // namespace spar::models
