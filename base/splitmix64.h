// L0. SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every platform.
#pragma once

#include <cstdint>

namespace spar::base {

inline constexpr uint64_t kSplitMix64Step = 0x9E3779B97F4A7C15u;

// The output that follows state `x`. A stream keeps a state and adds
// kSplitMix64Step after each output; a keyed draw mixes its keys in turn.
inline uint64_t SplitMix64(uint64_t x) {
  x += kSplitMix64Step;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace spar::base
