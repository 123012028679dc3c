// L1t. The optimisation of many rows' importances at once.
//
// One flat tensor holds the logits z of all nodes of all rows, and one AdamW
// moves it: rows share nothing but the number of the step, so the sum of their
// losses gives each the gradient that it would have alone. Rows that end leave
// the tensor and the batches.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/prune.h"
#include "models/torch/adamw.h"
#include "models/torch/prune/minimality.h"
#include "models/torch/prune/row_attack.h"
#include "models/torch/prune/row_batch.h"

namespace spar::models {

// A row that has done its steps.
struct EndedRow {
  PruneRow row = {};
  at::Tensor logits = {};  // z, [nodes]
  int steps = 0;
  bool stopped_early = false;
  PruneLosses losses = {};  // of the last step
};

// Not thread-safe. Throws c10::Error; outside any InferenceMode.
class Optimisation {
 public:
  // The references outlive this. `states`: by prompt, then coefficient; kept up
  // to date.
  Optimisation(const PruneSubject& subject,
               const PruneRequest& request,
               const PruneLimits& limits,
               std::vector<PruneRow> rows,
               std::vector<PruneState>& states);

  bool done() const { return rows_.empty(); }
  // A piece of a step: one batch forth and back, or one step of its attack. The
  // rows that ended with the step that the piece completed.
  std::vector<EndedRow> Advance();

 private:
  struct Row {
    PruneRow row = {};
    PruneState* state = nullptr;
    // Of the early stop.
    double average = 0;  // of the loss
    double least = std::numeric_limits<double>::infinity();
    int64_t least_step = 0;
  };
  // Consecutive rows in one batch.
  struct Part {
    std::unique_ptr<RowBatch> alive = nullptr;  // null: not needed
    std::unique_ptr<RowBatch> all = nullptr;    // of stochastic masks
    int64_t first_node = 0;
    int64_t num_nodes = 0;
  };
  // What the parts of one step give.
  struct Sums {
    std::vector<at::Tensor> masked = {};    // [rows of a part]
    std::vector<at::Tensor> attacked = {};  // the same
    std::vector<at::Tensor> slopes = {};    // of g, [nodes of a part]
  };

  void Arrange();
  void Collect(Part& part);
  void Descend();
  bool Stops(Row& row) const;
  std::vector<EndedRow> TakeEnded();
  std::vector<uint64_t> Seeds(const RowBatch& batch, uint64_t use) const;

  const PruneSubject& subject_;
  const PruneRequest& request_;
  const PruneLimits& limits_;
  std::vector<Row> rows_ = {};
  at::Tensor logits_ = {};  // z of all rows' nodes
  at::Tensor lower_ = {};   // g of logits_
  std::unique_ptr<AdamW> adam_ = nullptr;
  int64_t step_ = 0;
  // Of the rows that are left.
  std::vector<Part> parts_ = {};
  std::optional<Minimality> minimality_ = {};
  at::Tensor prices_ = {};  // of each row
  // Of the step in progress.
  size_t part_ = 0;
  std::unique_ptr<RowAttack> attack_ = nullptr;
  Sums sums_ = {};
};

// Names the draws of one use in one step; the uses of a step are numbered.
uint64_t StepSeed(uint64_t key, int64_t step, uint64_t use);

}  // namespace spar::models
