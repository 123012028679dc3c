// L1. A small random number generator whose sequence is the same everywhere.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "base/splitmix64.h"

namespace spar::demo {

// SplitMix64. Not for secrets.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    const uint64_t bits = base::SplitMix64(state_);
    state_ += base::kSplitMix64Step;
    return bits;
  }

  // Uniform in [0, bound). `bound` is positive and far below 2^32.
  int Below(int bound) {
    return static_cast<int>((Next() >> 32) * static_cast<uint64_t>(bound) >>
                            32);
  }
  // Uniform in [low, high], both included.
  int Between(int low, int high) { return low + Below(high - low + 1); }
  // Uniform in [0, 1).
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  bool Chance(double probability) { return Unit() < probability; }
  // Standard normal (Box and Muller).
  double Normal() {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - Unit()));
    return radius * std::cos(2.0 * M_PI * Unit());
  }

  template <typename T>
  const T& Pick(const std::vector<T>& items) {
    return items[Below(static_cast<int>(items.size()))];
  }

 private:
  uint64_t state_;
};

}  // namespace spar::demo
