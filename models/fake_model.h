// L1. The toy model's arithmetic, in float64: FakeBackend's own.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/splitmix64.h"
#include "models/row.h"
#include "models/unit_table.h"

namespace spar::models {

inline constexpr int kFakeWidth = 8;

using FakeVector = std::array<double, kFakeWidth>;

double Dot(const FakeVector& a, const FakeVector& b);
void AddScaled(const FakeVector& v, double scale, FakeVector& sum);

// splitmix64: the same numbers on every platform.
class FakeRandom {
 public:
  explicit FakeRandom(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    const uint64_t bits = base::SplitMix64(state_);
    state_ += base::kSplitMix64Step;
    return bits;
  }
  // Uniform in (-scale, scale).
  double Symmetric(double scale) {
    return scale * (static_cast<double>(Next() >> 11) * 0x1.0p-52 - 1.0);
  }
  FakeVector SymmetricVector(double scale);

 private:
  uint64_t state_;
};

struct FakeShape {
  int num_layers = 2;
  int num_heads = 2;     // per layer
  int num_neurons = 10;  // per layer
  int vocab_size = 24;
  double interaction = 1;
  uint64_t seed = 1;
};

// What one run reads, and what is changed in it. Refers to its parts.
struct FakeRun {
  const Prompt& prompt;
  const IndexSet& positions;
  const std::vector<float>& masks;        // [unit]
  const std::vector<double>& references;  // [unit]; empty: zeros
  const std::vector<FakeVector>& shifts;  // [layer], added to the stream
                                          // before its neurons; empty: zeros
};

struct FakeForward {
  std::vector<double> own = {};    // [unit] the value a unit has here
  std::vector<double> slope = {};  // [unit] of tanh; heads 0
  std::vector<double> logits = {};
};

// d(smooth margin)/d(mask) and /d(shift): RowGradient.
struct FakeSlopes {
  double smooth_margin = 0;
  std::vector<float> of_masks = {};        // [unit]
  std::vector<FakeVector> of_shifts = {};  // [layer]
};

// Note [The fake model]
// One stream of kFakeWidth numbers at the readout. x starts as the embedding
// of the last token. Layer by layer: head h adds z_h o_h, where z_h is a
// softmax-weighted mean over the kept positions of v_h . e(token), with scores
// from the token and its distance to the readout; then the layer's shift is
// added; then neuron j adds tanh(w_j . x) d_j. Logits are a fixed matrix times
// x. All arithmetic is float64, so gradients agree with differences, and exact
// rows with others, to rounding.
//
// Immutable.
class FakeModel {
 public:
  explicit FakeModel(const FakeShape& shape);

  const UnitTable& units() const { return units_; }
  FakeForward Run(const FakeRun& run) const;
  // At `forward`, the outcome of `run`, whose prompt names its target.
  FakeSlopes Differentiate(const FakeRun& run,
                           const FakeForward& forward) const;

 private:
  struct UnitWeights {
    FakeVector key = {};  // heads: token score
    double slope = 0;     // heads: score lost per position of distance
    FakeVector in = {};   // heads: value; neurons: w
    FakeVector out = {};  // o or d
  };

  std::vector<double> HeadValues(const Prompt& prompt,
                                 const IndexSet& positions) const;

  const FakeShape shape_;
  const UnitTable units_;
  std::vector<FakeVector> embedding_ = {};    // [token]
  std::vector<FakeVector> unembedding_ = {};  // [token]
  std::vector<UnitWeights> weights_ = {};     // [unit]
};

// How far back from the readout each kept position lies, by the prompt's
// position mode; as `kept`, ascending positions.
std::vector<int> FakeDistances(const Prompt& prompt,
                               const std::vector<int32_t>& kept);

}  // namespace spar::models
