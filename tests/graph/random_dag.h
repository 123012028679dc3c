// Small random graphs, and what brute force says about them.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "gtest/gtest.h"

#include "base/splitmix64.h"
#include "graph/graph.h"
#include "graph/weighting.h"

namespace spar::testing {

class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed * 0x1000193) {}

  // In [0, 1).
  double Share() {
    state_ += base::kSplitMix64Step;
    return static_cast<double>(base::SplitMix64(state_) >> 11) * 0x1p-53;
  }
  int Below(int limit) { return static_cast<int>(Share() * limit); }
  float Weight() { return static_cast<float>(4 * Share() - 2); }

 private:
  uint64_t state_;
};

struct DenseGraph {
  std::vector<std::vector<double>> weights = {};  // [target][source], 0: none
  std::vector<double> activations = {};
  graph::Graph graph = {};
};

// Edges arrive in several blocks, of mixed targets.
inline DenseGraph RandomGraph(uint64_t seed, int num_nodes, double density) {
  Dice dice(seed);
  DenseGraph dense;
  dense.weights.assign(
      static_cast<size_t>(num_nodes),
      std::vector<double>(static_cast<size_t>(num_nodes), 0.0));
  std::vector<graph::EdgeBlock> blocks(3);
  for (int target = num_nodes - 1; target >= 0; --target) {
    for (int source = target - 1; source >= 0; --source) {
      if (dice.Share() >= density) continue;
      const float weight = dice.Weight();
      graph::EdgeBlock& block = blocks[static_cast<size_t>(dice.Below(3))];
      block.targets.push_back(target);
      block.counts.push_back(1);
      block.sources.push_back(source);
      block.weights.push_back(weight);
      dense.weights[static_cast<size_t>(target)][static_cast<size_t>(source)] =
          weight;
    }
    dense.activations.push_back(dice.Weight());
  }
  absl::StatusOr<graph::Graph> made = graph::Graph::Make(num_nodes, blocks);
  EXPECT_TRUE(made.ok()) << made.status();
  dense.graph = *std::move(made);
  return dense;
}

// The factor of an edge, from the definitions in graph/weighting.h.
inline double Factor(const DenseGraph& dense,
                     graph::Weighting weighting,
                     size_t source,
                     size_t target) {
  const double weight = dense.weights[target][source];
  if (weighting == graph::Weighting::kProduct) return weight;
  if (weighting == graph::Weighting::kEffect) {
    return weight / dense.activations[source];
  }
  double sum = 0;
  for (const double other : dense.weights[target]) sum += std::abs(other);
  return std::abs(weight) / sum;
}

inline double Start(const DenseGraph& dense,
                    graph::Weighting weighting,
                    size_t node) {
  return weighting == graph::Weighting::kEffect ? dense.activations[node] : 1;
}

// Every path that ends in `target`, whole or not: nodes from first to last.
inline void ForEachPathInto(
    const DenseGraph& dense,
    size_t target,
    const std::function<void(const std::vector<int32_t>&)>& visit) {
  std::vector<int32_t> path = {static_cast<int32_t>(target)};
  const std::function<void()> grow = [&] {
    visit({path.rbegin(), path.rend()});
    const size_t first = static_cast<size_t>(path.back());
    for (size_t source = 0; source < first; ++source) {
      if (dense.weights[first][source] == 0) continue;
      path.push_back(static_cast<int32_t>(source));
      grow();
      path.pop_back();
    }
  };
  grow();
}

inline double ValueOf(const DenseGraph& dense,
                      graph::Weighting weighting,
                      const std::vector<int32_t>& path) {
  double value = Start(dense, weighting, static_cast<size_t>(path[0]));
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    value *= Factor(dense, weighting, static_cast<size_t>(path[i]),
                    static_cast<size_t>(path[i + 1]));
  }
  return value;
}

}  // namespace spar::testing
