#include "models/torch/train/draws.h"

#include <numbers>

#include "base/splitmix64.h"
#include "models/torch/aten.h"
#include "models/torch/uniform_numbers.h"

namespace spar::models {
namespace {

constexpr uint64_t kFirstStream = 0;
constexpr uint64_t kSecondStream = 1;

}  // namespace

DrawKey DrawKey::Of(uint64_t index) const {
  return DrawKey(base::SplitMix64(base::SplitMix64(key_) ^ index));
}

at::Tensor DrawKey::Uniform(const std::vector<int64_t>& sizes,
                            at::Device device) const {
  return UniformNumbers(key_, kFirstStream, sizes).to(device);
}

// Box and Muller.
at::Tensor DrawKey::Normal(const std::vector<int64_t>& sizes,
                           at::Device device) const {
  const at::Tensor u =
      UniformNumbers(key_, kFirstStream, sizes).to(at::kDouble);
  const at::Tensor v =
      UniformNumbers(key_, kSecondStream, sizes).to(at::kDouble);
  const at::Tensor radius = (-2.0 * (1 - u).log()).sqrt();
  return (radius * (2 * std::numbers::pi * v).cos()).to(device, at::kFloat);
}

}  // namespace spar::models
