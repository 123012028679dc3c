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
  int64_t begin = 0;
  for (const int m : order) {
    logits[m] = z.narrow(1, begin, modules[m].num_components);
    begin += modules[m].num_components;
  }
}

}  // namespace spar::models
