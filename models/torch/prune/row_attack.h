// L1t. Projected gradient ascent on the masks of a pruning's rows.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/prune/row_batch.h"

namespace spar::models {

// Finds for each row the sources s of m = g + (1 - g) s of its nodes that hurt
// it most (PruneAdversary). Rows are attacked side by side, each for itself.
// Throws c10::Error.
class RowAttack {
 public:
  // `batch` lists what is alive; it and `adversary` outlive this. `g`: of the
  // nodes. Row r draws from seeds[r].
  RowAttack(const PruneAdversary& adversary,
            PruneLoss loss,
            RowBatch& batch,
            at::Tensor g,
            std::vector<uint64_t> seeds);

  bool done() const { return restart_ >= adversary_.restarts; }
  // One step of one restart.
  void Step();
  // Once done: s, and m of g.
  const at::Tensor& sources() const { return worst_; }
  at::Tensor Masks() const { return MasksUnder(worst_); }

 private:
  at::Tensor Draw() const;
  at::Tensor MasksUnder(const at::Tensor& sources) const;
  void Finish();

  const PruneAdversary& adversary_;
  const PruneLoss loss_;
  RowBatch& batch_;
  const at::Tensor g_;
  const std::vector<uint64_t> seeds_;
  int restart_ = 0;
  int step_ = 0;                  // of this restart
  at::Tensor sources_ = {};       // of this restart, [nodes]
  at::Tensor worst_ = {};         // of all restarts, [nodes]
  at::Tensor worst_losses_ = {};  // [rows]
};

}  // namespace spar::models
