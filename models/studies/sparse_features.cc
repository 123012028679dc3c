#include "models/studies/sparse_features.h"

#include <vector>

#include "models/torch/aten.h"
#include "models/torch/train/draws.h"

namespace spar::studies {

at::Tensor SparseFeatures::Batch(int64_t step) const {
  const models::DrawKey key =
      models::DrawKey(options_.seed).Of(static_cast<uint64_t>(step));
  const std::vector<int64_t> shape = {options_.batch_size,
                                      options_.num_features};
  const at::Tensor values = key.Of(0).Uniform(shape, at::kCPU);
  const at::Tensor chances = key.Of(1).Uniform(shape, at::kCPU);
  return (options_.low + (options_.high - options_.low) * values) *
         chances.lt(options_.probability);
}

}  // namespace spar::studies
