// Alignment, comparison and aggregates of labeled graphs.
#include <cmath>

#include "gtest/gtest.h"

#include "graph/aggregate.h"
#include "graph/alignment.h"
#include "graph/comparison.h"

namespace spar::graph {
namespace {

using Ints = std::vector<int32_t>;

TEST(Alignment, OfEqualLengthsIsPositionByPosition) {
  EXPECT_EQ(AlignPositions(Ints{1, 2, 3}, Ints{1, 9, 3}), (Ints{0, 1, 2}));
  EXPECT_EQ(AlignPositions(Ints{1, 2}, Ints{2, 1}), (Ints{0, 1}));
  EXPECT_EQ(AlignPositions(Ints{}, Ints{}), Ints{});
}

TEST(Alignment, OfOtherLengthsFollowsTheCommonTokens) {
  // A token more in the middle, at the start, at the end.
  EXPECT_EQ(AlignPositions(Ints{1, 2, 3}, Ints{1, 2, 7, 3}), (Ints{0, 1, 3}));
  EXPECT_EQ(AlignPositions(Ints{1, 2, 3}, Ints{7, 1, 2, 3}), (Ints{1, 2, 3}));
  EXPECT_EQ(AlignPositions(Ints{1, 2, 3}, Ints{1, 2}), (Ints{0, 1, -1}));
  // One token replaced by one: matched; one by two: not.
  EXPECT_EQ(AlignPositions(Ints{5, 1, 2, 3}, Ints{6, 1, 2, 7, 3}),
            (Ints{0, 1, 2, 4}));
  EXPECT_EQ(AlignPositions(Ints{1, 5, 3}, Ints{1, 8, 9, 3}), (Ints{0, -1, 3}));
  EXPECT_EQ(AlignPositions(Ints{1, 2}, Ints{}), (Ints{-1, -1}));
}

// Node i has label (site, 0, index, position); every edge given.
struct Edge {
  int32_t source = 0;
  int32_t target = 0;
  float weight = 0;
};

LabeledGraph Make(Ints tokens,
                  std::vector<std::string> sites,
                  std::vector<Label> labels,
                  const std::vector<Edge>& edges) {
  EdgeBlock block;
  for (const Edge& edge : edges) {
    block.targets.push_back(edge.target);
    block.counts.push_back(1);
    block.sources.push_back(edge.source);
    block.weights.push_back(edge.weight);
  }
  absl::StatusOr<Graph> made = Graph::Make(
      static_cast<int>(labels.size()), std::span<const EdgeBlock>(&block, 1));
  EXPECT_TRUE(made.ok()) << made.status();
  LabeledGraph graph;
  graph.tokens = std::move(tokens);
  graph.sites = std::move(sites);
  graph.labels = std::move(labels);
  graph.graph = *std::move(made);
  return graph;
}

// "the princess lost" -> her: nodes by site 0 embed, 1 mlp, 2 logits.
LabeledGraph Princess() {
  return Make({1, 20, 3}, {"embed", "mlp", "output"},
              {{0, 0, 0, 1}, {1, 0, 7, 2}, {1, 0, 8, 2}, {2, 1, 100, 2}},
              {{0, 1, 0.5f}, {0, 2, 0.25f}, {1, 3, 2.0f}, {2, 3, -1.0f}});
}

// "the prince lost" -> his: other site order, node 8 missing, node 9 new, and
// an edge from the embedding straight to the output.
LabeledGraph Prince() {
  return Make({1, 21, 3}, {"output", "mlp", "embed"},
              {{2, 0, 0, 1}, {1, 0, 7, 2}, {1, 0, 9, 2}, {0, 1, 200, 2}},
              {{0, 1, 0.75f}, {0, 2, 0.5f}, {1, 3, -2.0f}, {0, 3, 0.125f}});
}

TEST(Comparison, FindsWhatIsCommonAndWhatIsNot) {
  const Comparison found = Compare(Princess(), Prince());
  using Pairs = std::vector<std::pair<int32_t, int32_t>>;
  EXPECT_EQ(found.common, (Pairs{{0, 0}, {1, 1}}));
  EXPECT_EQ(found.only_left, (Ints{2, 3}));
  EXPECT_EQ(found.only_right, (Ints{2, 3}));
  ASSERT_EQ(found.edges.size(), 1u);
  EXPECT_EQ(found.edges[0].left_weight, 0.5f);
  EXPECT_EQ(found.edges[0].right_weight, 0.75f);
  EXPECT_EQ(found.edges_only_left, 3);
  EXPECT_EQ(found.edges_only_right, 3);
}

TEST(Comparison, TakesNodesPairedByHandForTheSame) {
  const Comparison found = Compare(Princess(), Prince(), {{3, 3}});
  EXPECT_EQ(found.common.size(), 3u);
  EXPECT_EQ(found.only_left, Ints{2});
  EXPECT_EQ(found.only_right, Ints{2});
  // By falling change: 7 -> target, embed -> 7 (0.25), embed -> target (0.125).
  ASSERT_EQ(found.edges.size(), 3u);
  EXPECT_EQ(found.edges[0].left, std::make_pair(1, 3));
  EXPECT_EQ(found.edges[0].right, std::make_pair(1, 3));
  EXPECT_EQ(found.edges[0].left_weight, 2.0f);
  EXPECT_EQ(found.edges[0].right_weight, -2.0f);
  EXPECT_EQ(found.edges[2].left_weight, 0.0f);
  EXPECT_EQ(found.edges[2].right_weight, 0.125f);
  EXPECT_EQ(found.edges[2].left, std::make_pair(0, 3));
  EXPECT_EQ(found.edges_only_left, 2);
  EXPECT_EQ(found.edges_only_right, 1);
  // A pair by hand undoes what the labels said.
  EXPECT_EQ(Compare(Princess(), Princess(), {{1, 2}}).common.size(), 3u);
}

TEST(Comparison, OfAGraphWithItselfChangesNothing) {
  const Comparison found = Compare(Princess(), Princess());
  EXPECT_EQ(found.common.size(), 4u);
  EXPECT_TRUE(found.only_left.empty());
  EXPECT_TRUE(found.only_right.empty());
  EXPECT_EQ(found.edges.size(), 4u);
  for (const EdgePair& pair : found.edges) {
    EXPECT_EQ(pair.left_weight, pair.right_weight);
  }
  EXPECT_EQ(found.edges_only_left + found.edges_only_right, 0);
}

TEST(Aggregate, AddsUpComponentsOverPositionsAndGraphs) {
  Aggregate aggregate;
  const std::vector<double> activations = {1, -2, 3, 4};
  const std::vector<double> importances = {1, 0.5, 0.25, 0.75};
  const std::vector<double> influences = {0.5, -0.75, 0.25, 1};
  const NodeValues values{activations, importances, influences};
  // Component (mlp, 7) at two positions, with an edge from each.
  const LabeledGraph twice =
      Make({1, 2, 3}, {"embed", "mlp", "output"},
           {{0, 0, 0, 1}, {1, 0, 7, 1}, {1, 0, 7, 2}, {2, 1, 100, 2}},
           {{0, 1, 1.0f}, {1, 3, 2.0f}, {2, 3, -0.5f}});
  aggregate.Add(twice, values);
  aggregate.Add(Prince(), values);
  EXPECT_EQ(aggregate.num_graphs(), 2);
  const ComponentTotals seven = aggregate.components().at({"mlp", 0, 7});
  EXPECT_EQ(seven.graphs, 2);
  EXPECT_EQ(seven.nodes, 3);
  EXPECT_DOUBLE_EQ(seven.importance, 0.5 + 0.25 + 0.5);
  EXPECT_DOUBLE_EQ(seven.activation, 2 + 3 + 2);
  EXPECT_DOUBLE_EQ(seven.influence, -0.75 + 0.25 - 0.75);
  EXPECT_DOUBLE_EQ(seven.largest_influence, -0.75);
  EXPECT_EQ(aggregate.components().size(), 5u);
  const EdgeTotals edge =
      aggregate.edges().at({{"mlp", 0, 7}, {"output", 1, 100}});
  EXPECT_EQ(edge.graphs, 1);
  EXPECT_EQ(edge.edges, 2);
  EXPECT_DOUBLE_EQ(edge.sum, 1.5);
  EXPECT_DOUBLE_EQ(edge.size, 2.5);
  EXPECT_EQ(aggregate.edges().at({{"embed", 0, 0}, {"mlp", 0, 7}}).graphs, 2);
}

}  // namespace
}  // namespace spar::graph
