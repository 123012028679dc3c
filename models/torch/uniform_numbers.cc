#include "models/torch/uniform_numbers.h"

#include "base/splitmix64.h"
#include "models/torch/aten.h"

namespace spar::models {

void FillUniform(uint64_t seed, uint64_t stream, std::span<float> numbers) {
  uint64_t state = base::SplitMix64(base::SplitMix64(seed) ^ stream);
  for (float& number : numbers) {
    number = static_cast<float>(base::SplitMix64(state) >> 40) / (1 << 24);
    state += base::kSplitMix64Step;
  }
}

at::Tensor UniformNumbers(uint64_t seed,
                          uint64_t stream,
                          const std::vector<int64_t>& sizes) {
  at::Tensor numbers = at::empty(sizes, at::dtype(at::kFloat));
  FillUniform(seed, stream,
              {numbers.mutable_data_ptr<float>(),
               static_cast<size_t>(numbers.numel())});
  return numbers;
}

}  // namespace spar::models
