// L1t. The data of the induction-head study: one token comes twice, and what
// followed it the first time is to be predicted after the second.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "models/torch/train/target.h"

namespace spar::studies {

// Token 0 begins a sequence, 1 to `letters` are letters, letters + 1 is the
// marker.
struct RepeatedMarkerOptions {
  int letters = 128;
  int length = 32;  // at least 5
  int batch_size = 0;
  uint64_t seed = 0;

  int vocabulary() const { return letters + 2; }
  int marker() const { return letters + 1; }
};

// 0, letters, marker s1, letter m, letters, marker s2: all letters uniform and
// apart; s1 uniform from 1 to length - 4.
class RepeatedMarker final : public models::TrainData {
 public:
  explicit RepeatedMarker(const RepeatedMarkerOptions& options)
      : options_(options) {}

  // Token ids of a step, [batch_size, length], long.
  at::Tensor Batch(int64_t step) const override;
  // Of each sequence of a batch the position of s1, [sequences], long.
  at::Tensor FirstMarkers(const at::Tensor& batch) const;
  // The letters m, [sequences], long.
  at::Tensor Answers(const at::Tensor& batch) const;

 private:
  const RepeatedMarkerOptions options_;
};

}  // namespace spar::studies
