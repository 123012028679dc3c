// L1. Which subcomponents to take out so that a model forgets one fact, and
// which to take out beside them as a control. No torch, no model: the numbers
// come from whoever runs them.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <vector>

namespace spar::studies {

// Of a decomposition.
struct Component {
  int32_t module = 0;
  int32_t index = 0;

  friend auto operator<=>(const Component&, const Component&) = default;
};

// What taking out one subcomponent does, in nats.
struct SuppressionEffect {
  Component component = {};
  double fact = 0;    // mean fall of the fact's log-probability
  double others = 0;  // mean absolute change of other facts'
};

// Best first by fact - weight * others, then by component; those at which that
// is not above 0 are left out.
std::vector<Component> Ranked(std::span<const SuppressionEffect> effects,
                              double weight);

// For each of `chosen` another of `pool` in the same module, drawn from those
// `nearest` whose norms are closest to its own; none twice, none of `chosen`. A
// module that has too few left in the pool gives fewer. `norms`:
// [module][subcomponent].
std::vector<Component> EqualNormControls(
    std::span<const Component> chosen,
    std::span<const Component> pool,
    std::span<const std::vector<float>> norms,
    int nearest,
    uint64_t seed);

// The value below which a share `share` in [0, 1] of the values lies, linear
// between neighbours. At least one value.
double Quantile(std::vector<double> values, double share);

}  // namespace spar::studies
