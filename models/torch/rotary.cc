#include "models/torch/rotary.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

// Radians per position of pair `j`.
double RotaryFrequency(const Rotary& rotary, int j) {
  const double plain = std::pow(rotary.theta, -2.0 * j / rotary.dim);
  switch (rotary.scaling) {
    case RopeScalingKind::kNone:
      return plain;
    case RopeScalingKind::kLinear:
      return plain / rotary.factor;
    case RopeScalingKind::kLlama3:
      break;
  }
  // Llama 3: long waves are stretched, short ones kept, the rest blended.
  const double waves = rotary.original_context * plain / (2 * std::numbers::pi);
  const double low = rotary.low_frequency_factor;
  const double high = rotary.high_frequency_factor;
  if (waves > high) return plain;
  if (waves < low) return plain / rotary.factor;
  const double kept = (waves - low) / (high - low);
  return (1 - kept) * plain / rotary.factor + kept * plain;
}

}  // namespace

at::Tensor RotaryAngles(const Rotary& rotary, const at::Tensor& ids) {
  std::vector<double> frequencies;
  for (int j = 0; j < rotary.dim / 2; ++j) {
    frequencies.push_back(RotaryFrequency(rotary, j));
  }
  return at::outer(
      ids.to(at::kDouble),
      at::tensor(frequencies, at::dtype(at::kDouble)).to(ids.device()));
}

}  // namespace spar::models
