// L1t. What runs say at the position of each row.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "models/prune.h"
#include "models/torch/prune/prompt_nodes.h"

namespace spar::models {

// Throws c10::Error.
class PruneReadout {
 public:
  // One for each row.
  explicit PruneReadout(const std::vector<const PromptNodes*>& rows);

  // R of each row, [rows]. Differentiable in the logits, [rows, vocab].
  at::Tensor Losses(PruneLoss kind, const at::Tensor& logits) const;

  std::vector<PruneReading> Read(const at::Tensor& logits) const;

 private:
  at::Tensor targets_ = {};  // [rows, 1], long
  at::Tensor model_ = {};    // log p of the model, [rows, vocab]
};

}  // namespace spar::models
