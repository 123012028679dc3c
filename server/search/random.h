// L3. Random numbers that depend on nothing but their key: the same question
// draws the same masks and samples on every machine.
#pragma once

#include <cstdint>

#include "base/splitmix64.h"

namespace spar::search {

// What a draw is for; part of its key. Written in docs/certificate.md: do not
// renumber.
enum class Draw : uint64_t {
  kMasks = 1,
  kSearchSamples = 2,
  kHeldOutSamples = 3,
  kFreshSamples = 4,
  kControls = 5,
  kFreshControls = 6,
  kGrowth = 7,
  kAttack = 8,
};

// 64 uniform bits for (seed, draw, a, b).
inline uint64_t RandomBits(uint64_t seed, Draw draw, uint64_t a, uint64_t b) {
  uint64_t x = base::SplitMix64(seed);
  x = base::SplitMix64(x ^ static_cast<uint64_t>(draw));
  x = base::SplitMix64(x ^ a);
  return base::SplitMix64(x ^ b);
}

// Uniform in [0, 1).
inline double RandomUnit(uint64_t seed, Draw draw, uint64_t a, uint64_t b) {
  return static_cast<double>(RandomBits(seed, draw, a, b) >> 11) * 0x1.0p-53;
}

// Uniform in [0, n); n > 0.
inline uint64_t RandomBelow(
    uint64_t n, uint64_t seed, Draw draw, uint64_t a, uint64_t b) {
  return RandomBits(seed, draw, a, b) % n;
}

}  // namespace spar::search
