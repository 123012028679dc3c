// L1t. Random numbers that depend on their names alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

namespace spar::models {

// Uniform numbers in [0, 1): the same for the same seed and stream everywhere,
// and of several the first ones of more.
void FillUniform(uint64_t seed, uint64_t stream, std::span<float> numbers);

// The same as a tensor of `sizes` on the CPU.
at::Tensor UniformNumbers(uint64_t seed,
                          uint64_t stream,
                          const std::vector<int64_t>& sizes);

}  // namespace spar::models
