// Influence, paths and subgraphs against enumeration and dense power sums.
#include <algorithm>
#include <cmath>

#include "gtest/gtest.h"

#include "graph/influence.h"
#include "graph/paths.h"
#include "graph/subgraph.h"
#include "tests/graph/random_dag.h"

namespace spar::graph {
namespace {

using testing::DenseGraph;

constexpr Weighting kWeightings[] = {Weighting::kShare, Weighting::kEffect,
                                     Weighting::kProduct};
constexpr int kNodes = 9;
constexpr size_t kTarget = kNodes - 1;

PathWeights WeightsOf(const DenseGraph& dense, Weighting weighting) {
  return WeightsOf(dense.graph, dense.activations, weighting);
}

// B + B^2 + ... + B^n of the dense matrix B[target][source]; row `target`.
std::vector<double> PowerSum(const DenseGraph& dense, Weighting weighting) {
  const size_t n = dense.weights.size();
  std::vector<double> row(n, 0.0);
  row[kTarget] = 1;
  std::vector<double> sum = row;
  for (size_t power = 0; power < n; ++power) {
    std::vector<double> next(n, 0.0);
    for (size_t t = 0; t < n; ++t) {
      for (size_t s = 0; s < t; ++s) {
        if (dense.weights[t][s] == 0) continue;
        next[s] += row[t] * testing::Factor(dense, weighting, s, t);
      }
    }
    row = next;
    for (size_t s = 0; s < n; ++s) sum[s] += row[s];
  }
  for (size_t s = 0; s < n; ++s) {
    sum[s] *= testing::Start(dense, weighting, s);
  }
  return sum;
}

TEST(Influence, IsThePowerSumOfTheDenseMatrix) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const DenseGraph dense = testing::RandomGraph(seed, kNodes, 0.6);
    for (const Weighting weighting : kWeightings) {
      const std::vector<double> influence =
          InfluenceOn(dense.graph, WeightsOf(dense, weighting), kTarget);
      const std::vector<double> want = PowerSum(dense, weighting);
      for (size_t i = 0; i < want.size(); ++i) {
        EXPECT_NEAR(influence[i], want[i], 1e-9 * (1 + std::abs(want[i])));
      }
    }
  }
}

TEST(Influence, IsTheSumOverAllPaths) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const DenseGraph dense = testing::RandomGraph(seed, kNodes, 0.4);
    for (const Weighting weighting : kWeightings) {
      std::vector<double> want(kNodes, 0.0);
      testing::ForEachPathInto(dense, kTarget,
                               [&](const std::vector<int32_t>& path) {
                                 want[static_cast<size_t>(path[0])] +=
                                     testing::ValueOf(dense, weighting, path);
                               });
      const std::vector<double> influence =
          InfluenceOn(dense.graph, WeightsOf(dense, weighting), kTarget);
      for (size_t i = 0; i < want.size(); ++i) {
        EXPECT_NEAR(influence[i], want[i], 1e-9 * (1 + std::abs(want[i])));
      }
    }
  }
}

TEST(Influence, OnAnInnerNodeLeavesLaterNodesOut) {
  const DenseGraph dense = testing::RandomGraph(3, kNodes, 0.9);
  const std::vector<double> influence =
      InfluenceOn(dense.graph, WeightsOf(dense, Weighting::kShare), 4);
  EXPECT_GT(influence[0], 0);
  EXPECT_EQ(influence[4], 1);
  for (size_t later = 5; later < kNodes; ++later) {
    EXPECT_EQ(influence[later], 0);
  }
}

// Shares of one node's input sum to 1, so what the nodes without inputs pass on
// is all that arrives.
TEST(Influence, SharesOfTheFirstNodesSumToOne) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const DenseGraph dense = testing::RandomGraph(seed, kNodes, 0.7);
    if (dense.graph.Sources(kTarget).empty()) continue;
    const std::vector<double> influence =
        InfluenceOn(dense.graph, WeightsOf(dense, Weighting::kShare), kTarget);
    double sum = 0;
    for (int node = 0; node < kNodes; ++node) {
      EXPECT_LE(influence[static_cast<size_t>(node)], 1 + 1e-12);
      if (dense.graph.Sources(node).empty()) {
        sum += influence[static_cast<size_t>(node)];
      }
    }
    EXPECT_NEAR(sum, 1, 1e-12);
  }
}

// A small network of smooth functions: the chain rule through the graph of its
// direct derivatives is its derivative, here by finite differences.
TEST(Influence, OfEffectsIsTheDerivativeTimesTheActivation) {
  const auto run = [](double x0, double x1) {
    std::vector<double> a = {x0, x1, 0, 0, 0};
    a[2] = std::sin(a[0]) * a[1];
    a[3] = a[2] * a[2] + a[0];
    a[4] = a[3] * a[1] + std::exp(a[2]);
    return a;
  };
  const std::vector<double> a = run(0.7, -1.3);
  EdgeBlock block;
  block.targets = {2, 3, 4};
  block.counts = {2, 2, 3};
  block.sources = {0, 1, 0, 2, 1, 2, 3};
  block.weights = {static_cast<float>(std::cos(a[0]) * a[1] * a[0]),
                   static_cast<float>(std::sin(a[0]) * a[1]),
                   static_cast<float>(a[0]),
                   static_cast<float>(2 * a[2] * a[2]),
                   static_cast<float>(a[3] * a[1]),
                   static_cast<float>(std::exp(a[2]) * a[2]),
                   static_cast<float>(a[1] * a[3])};
  const absl::StatusOr<Graph> made =
      Graph::Make(5, std::span<const EdgeBlock>(&block, 1));
  ASSERT_TRUE(made.ok());
  const std::vector<double> influence =
      InfluenceOn(*made, graph::WeightsOf(*made, a, Weighting::kEffect), 4);
  constexpr double kStep = 1e-5;
  const double d0 =
      (run(0.7 + kStep, -1.3)[4] - run(0.7 - kStep, -1.3)[4]) / (2 * kStep);
  const double d1 =
      (run(0.7, -1.3 + kStep)[4] - run(0.7, -1.3 - kStep)[4]) / (2 * kStep);
  EXPECT_NEAR(influence[0], d0 * a[0], 1e-6);
  EXPECT_NEAR(influence[1], d1 * a[1], 1e-6);
}

struct Found {
  std::vector<int32_t> nodes = {};
  double value = 0;
};

// All whole paths by brute force, strongest first.
std::vector<Found> AllPaths(const DenseGraph& dense,
                            Weighting weighting,
                            std::optional<int> source) {
  std::vector<Found> all;
  testing::ForEachPathInto(
      dense, kTarget, [&](const std::vector<int32_t>& path) {
        const bool whole =
            source ? path[0] == *source : dense.graph.Sources(path[0]).empty();
        const double value = testing::ValueOf(dense, weighting, path);
        if (whole && path.size() > 1 && value != 0) {
          all.push_back({path, value});
        }
      });
  std::sort(all.begin(), all.end(), [](const Found& a, const Found& b) {
    return std::abs(a.value) > std::abs(b.value);
  });
  return all;
}

void ExpectStrongest(const DenseGraph& dense,
                     Weighting weighting,
                     std::optional<int> source,
                     int num_paths) {
  const std::vector<Found> want = AllPaths(dense, weighting, source);
  const PathQuery query{
      .target = kTarget, .source = source, .num_paths = num_paths};
  const std::vector<Path> got =
      StrongestPaths(dense.graph, WeightsOf(dense, weighting), query);
  ASSERT_EQ(got.size(), std::min(want.size(), static_cast<size_t>(num_paths)));
  for (size_t i = 0; i < got.size(); ++i) {
    const double size = std::abs(want[i].value);
    EXPECT_EQ(got[i].nodes, want[i].nodes);
    EXPECT_NEAR(got[i].value, want[i].value, 1e-9 * size);
    EXPECT_NEAR(got[i].log_strength, std::log(size), 1e-9);
  }
}

TEST(Paths, AreTheStrongestOfAllByEveryWeighting) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const DenseGraph dense = testing::RandomGraph(seed, kNodes, 0.6);
    for (const Weighting weighting : kWeightings) {
      ExpectStrongest(dense, weighting, std::nullopt, 7);
      ExpectStrongest(dense, weighting, std::nullopt, 100'000);
    }
  }
}

TEST(Paths, FromAGivenNodePassThroughWhatWritesIntoIt) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const DenseGraph dense = testing::RandomGraph(seed, kNodes, 0.6);
    for (const Weighting weighting : kWeightings) {
      ExpectStrongest(dense, weighting, 3, 5);
      ExpectStrongest(dense, weighting, 3, 100'000);
    }
  }
}

TEST(Paths, AreNoneWhereNothingLeads) {
  const absl::StatusOr<Graph> made = Graph::Make(3, {});
  ASSERT_TRUE(made.ok());
  const PathWeights weights = graph::WeightsOf(*made, {}, Weighting::kShare);
  EXPECT_TRUE(StrongestPaths(*made, weights, {.target = 2}).empty());
  const DenseGraph dense = testing::RandomGraph(1, kNodes, 0.6);
  EXPECT_TRUE(StrongestPaths(dense.graph, WeightsOf(dense, Weighting::kShare),
                             {.target = kTarget, .num_paths = 0})
                  .empty());
}

// 2^40 paths: enumeration would not end.
TEST(Paths, OfALadderOfManyAreFoundAtOnce) {
  constexpr int kRungs = 40;
  EdgeBlock block;
  for (int rung = 1; rung <= kRungs; ++rung) {
    for (int side = 0; side < 2; ++side) {
      block.targets.push_back(2 * rung + side);
      block.counts.push_back(2);
      for (int from = 0; from < 2; ++from) {
        block.sources.push_back(2 * (rung - 1) + from);
        block.weights.push_back(from == side ? 1e20f : -1e10f);
      }
    }
  }
  const absl::StatusOr<Graph> made =
      Graph::Make(2 * kRungs + 2, std::span<const EdgeBlock>(&block, 1));
  ASSERT_TRUE(made.ok());
  const std::vector<Path> paths =
      StrongestPaths(*made, graph::WeightsOf(*made, {}, Weighting::kProduct),
                     {.target = 2 * kRungs, .num_paths = 42});
  ASSERT_EQ(paths.size(), 42u);
  // Straight down, then with one step to the other side, 40 of them; their
  // products overflow a double, their logarithms do not.
  const double straight = kRungs * std::log(double{1e20f});
  const double one_step = straight - std::log(double{1e20f} / 1e10f);
  EXPECT_NEAR(paths[0].log_strength, straight, 1e-9 * straight);
  for (size_t i = 1; i <= 40; ++i) {
    EXPECT_NEAR(paths[i].log_strength, one_step, 1e-9 * straight);
  }
  EXPECT_LT(paths[41].log_strength, one_step - 1);
}

TEST(Subgraph, BetweenTwoNodesHoldsTheirPathsAndNoMore) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const DenseGraph dense = testing::RandomGraph(seed, kNodes, 0.35);
    constexpr int kSource = 2;
    std::vector<bool> on_path(kNodes, false);
    on_path[kSource] = on_path[kTarget] = true;
    testing::ForEachPathInto(dense, kTarget,
                             [&](const std::vector<int32_t>& path) {
                               if (path[0] != kSource) return;
                               for (const int32_t node : path) {
                                 on_path[static_cast<size_t>(node)] = true;
                               }
                             });
    const Subgraph part = Between(dense.graph, kSource, kTarget);
    std::vector<int32_t> want;
    for (int node = 0; node < kNodes; ++node) {
      if (on_path[static_cast<size_t>(node)]) want.push_back(node);
    }
    EXPECT_EQ(part.nodes, want);
    for (size_t t = 0; t < want.size(); ++t) {
      const auto sources = part.graph.Sources(static_cast<int>(t));
      size_t at = 0;
      for (size_t s = 0; s < t; ++s) {
        const double weight = dense.weights[static_cast<size_t>(want[t])]
                                           [static_cast<size_t>(want[s])];
        if (weight == 0) continue;
        ASSERT_LT(at, sources.size());
        EXPECT_EQ(sources[at], static_cast<int32_t>(s));
        EXPECT_EQ(part.graph.Weights(static_cast<int>(t))[at], weight);
        ++at;
      }
      EXPECT_EQ(at, sources.size());
    }
  }
}

}  // namespace
}  // namespace spar::graph
