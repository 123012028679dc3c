// L1t. Every random number of training, as a function of its name.
//
// A number depends on the seed, the step, its use and its place alone: the same
// on every machine, however often training is stopped and resumed.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace spar::models {

// The key of some draws; narrower keys are made of it.
class DrawKey {
 public:
  explicit DrawKey(uint64_t seed) : key_(seed) {}

  DrawKey Of(uint64_t index) const;

  // In [0, 1), float32.
  at::Tensor Uniform(const std::vector<int64_t>& sizes,
                     at::Device device) const;
  // Of mean 0 and variance 1, float32.
  at::Tensor Normal(const std::vector<int64_t>& sizes, at::Device device) const;

 private:
  uint64_t key_;
};

// What the first index below the seed tells apart.
enum class DrawUse : uint64_t {
  kFactors,
  kCiWeights,
  kImportances,  // the noise of binomial sampling
  kLosses,
  kSources,  // where persistent sources begin
};

inline DrawKey KeyOf(uint64_t seed, DrawUse use) {
  return DrawKey(seed).Of(static_cast<uint64_t>(use));
}

}  // namespace spar::models
