// L3. Random numbers that depend on nothing but their key: the same question
// draws the same masks and samples on every machine.
#pragma once

#include <cstdint>

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
};

inline uint64_t Mix(uint64_t x) {  // the finaliser of splitmix64
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// 64 uniform bits for (seed, draw, a, b).
inline uint64_t RandomBits(uint64_t seed, Draw draw, uint64_t a, uint64_t b) {
  uint64_t x = Mix(seed);
  x = Mix(x ^ static_cast<uint64_t>(draw));
  x = Mix(x ^ a);
  return Mix(x ^ b);
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
