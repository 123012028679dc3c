// L1t. The data of toy models: vectors of which few entries are not 0.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "models/torch/train/target.h"

namespace spar::studies {

struct SparseFeatureOptions {
  int num_features = 0;
  double probability = 0;  // of each entry to be active, by itself
  double low = 0;          // active entries are uniform in [low, high)
  double high = 1;
  int batch_size = 0;
  uint64_t seed = 0;
};

class SparseFeatures final : public models::TrainData {
 public:
  explicit SparseFeatures(const SparseFeatureOptions& options)
      : options_(options) {}

  // [batch_size, num_features], float32.
  at::Tensor Batch(int64_t step) const override;

 private:
  const SparseFeatureOptions options_;
};

}  // namespace spar::studies
