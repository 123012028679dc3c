// L1t. The logits of several modules side by side, taken apart.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "models/decomposition_spec.h"

namespace spar::models {

// Puts columns of `z`, [tokens, sum of C], to the modules that `order` lists.
inline void SplitLogits(const at::Tensor& z,
                        const std::vector<DecomposedModule>& modules,
                        const std::vector<int>& order,
                        std::vector<at::Tensor>& logits) {
  std::vector<int64_t> sizes;
  for (const int m : order) sizes.push_back(modules[m].num_components);
  // At once: their slopes are put side by side at once too.
  const std::vector<at::Tensor> parts = z.split_with_sizes(sizes, 1);
  for (size_t i = 0; i < order.size(); ++i) logits[order[i]] = parts[i];
}

}  // namespace spar::models
