// L1t. How sparse causal importances are, summed batch by batch.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/evaluation.h"

namespace spar::models {

// Throws c10::Error.
class ImportanceSums {
 public:
  // g of every module, [tokens, C].
  void Add(const std::vector<at::Tensor>& importances, double alive_threshold);
  Sparsity Read(const EvaluationRequest& request) const;

 private:
  struct Module {
    at::Tensor importance = {};  // sum of g, [C], float64
    at::Tensor active = {};      // positions with g above the threshold, [C]
  };
  std::vector<Module> modules_ = {};
  int64_t num_positions_ = 0;
};

}  // namespace spar::models
