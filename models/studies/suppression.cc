#include "models/studies/suppression.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "base/status.h"
#include "models/demo/random.h"

namespace spar::studies {

std::vector<Component> Ranked(std::span<const SuppressionEffect> effects,
                              double weight) {
  std::vector<std::pair<double, Component>> scored;
  for (const SuppressionEffect& effect : effects) {
    const double score = effect.fact - weight * effect.others;
    if (score > 0) scored.emplace_back(-score, effect.component);
  }
  std::ranges::sort(scored);
  std::vector<Component> ranked;
  for (const auto& [negative, component] : scored) ranked.push_back(component);
  return ranked;
}

std::vector<Component> EqualNormControls(
    std::span<const Component> chosen,
    std::span<const Component> pool,
    std::span<const std::vector<float>> norms,
    int nearest,
    uint64_t seed) {
  const auto norm = [&](const Component& c) {
    return norms[c.module][c.index];
  };
  demo::Random random(seed);
  std::set<Component> taken(chosen.begin(), chosen.end());
  std::vector<Component> controls;
  for (const Component& original : chosen) {
    std::vector<std::pair<float, Component>> near;
    for (const Component& candidate : pool) {
      if (candidate.module != original.module || taken.contains(candidate)) {
        continue;
      }
      near.emplace_back(std::abs(norm(candidate) - norm(original)), candidate);
    }
    if (near.empty()) continue;
    std::ranges::sort(near);
    const int choices = std::min(nearest, static_cast<int>(near.size()));
    controls.push_back(near[random.Below(choices)].second);
    taken.insert(controls.back());
  }
  return controls;
}

double Quantile(std::vector<double> values, double share) {
  INVARIANT(!values.empty());
  std::ranges::sort(values);
  const double at = share * static_cast<double>(values.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, values.size() - 1);
  return std::lerp(values[low], values[high], at - static_cast<double>(low));
}

}  // namespace spar::studies
