#include "graph/graph.h"

#include <limits>
#include <string>

#include "gtest/gtest.h"

#include "base/status.h"
#include "tests/graph/random_dag.h"

namespace spar::graph {
namespace {

EdgeBlock Block(std::vector<int32_t> targets,
                std::vector<int32_t> counts,
                std::vector<int32_t> sources) {
  EdgeBlock block;
  block.weights.assign(sources.size(), 1);
  block.targets = std::move(targets);
  block.counts = std::move(counts);
  block.sources = std::move(sources);
  return block;
}

std::string Refusal(int num_nodes, const std::vector<EdgeBlock>& blocks) {
  const absl::StatusOr<Graph> made = Graph::Make(num_nodes, blocks);
  if (made.ok()) return "";
  EXPECT_EQ(base::DetailOf(made.status())->reason, "BAD_GRAPH");
  return std::string(base::MessageOf(made.status()));
}

TEST(Graph, HoldsTheEdgesOfItsBlocksBySourceWhateverTheirOrder) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const testing::DenseGraph dense = testing::RandomGraph(seed, 9, 0.5);
    int64_t edges = 0;
    for (int target = 0; target < 9; ++target) {
      const auto sources = dense.graph.Sources(target);
      const auto weights = dense.graph.Weights(target);
      ASSERT_TRUE(std::is_sorted(sources.begin(), sources.end()));
      size_t at = 0;
      for (int source = 0; source < 9; ++source) {
        const double weight = dense.weights[static_cast<size_t>(target)]
                                           [static_cast<size_t>(source)];
        if (weight == 0) continue;
        ASSERT_LT(at, sources.size());
        EXPECT_EQ(sources[at], source);
        EXPECT_EQ(weights[at], weight);
        ++at;
        ++edges;
      }
      EXPECT_EQ(at, sources.size());
    }
    EXPECT_EQ(dense.graph.num_edges(), edges);
    EXPECT_EQ(dense.graph.num_nodes(), 9);
  }
}

TEST(Graph, OfNoNodesIsEmpty) {
  const absl::StatusOr<Graph> made = Graph::Make(0, {});
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->num_nodes(), 0);
  EXPECT_EQ(Graph().num_nodes(), 0);
}

TEST(Graph, RefusesEdgesThatBreakItsOrderOrItsLists) {
  EXPECT_EQ(Refusal(3, {Block({2}, {2}, {0, 1})}), "");
  EXPECT_NE(Refusal(3, {Block({1}, {1}, {1})}), "");   // itself
  EXPECT_NE(Refusal(3, {Block({1}, {1}, {2})}), "");   // backwards
  EXPECT_NE(Refusal(3, {Block({1}, {1}, {-1})}), "");  // nowhere
  EXPECT_NE(Refusal(3, {Block({3}, {1}, {0})}), "");
  EXPECT_NE(Refusal(3, {Block({-1}, {1}, {0})}), "");
  EXPECT_NE(Refusal(3, {Block({2}, {3}, {0, 1})}), "");  // too few
  EXPECT_NE(Refusal(3, {Block({2}, {1}, {0, 1})}), "");  // too many
  EXPECT_NE(Refusal(3, {Block({2}, {-1}, {})}), "");
  EXPECT_NE(Refusal(3, {Block({2}, {}, {})}), "");
  EXPECT_NE(Refusal(-1, {}), "");
  EXPECT_EQ(Refusal(3, {Block({2}, {1}, {0}), Block({2}, {1}, {0})}),
            "the edge from node 0 to node 2 comes twice");
  EdgeBlock endless = Block({2}, {1}, {0});
  endless.weights[0] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Refusal(3, {endless}),
            "the edge from node 0 to node 2 has no finite weight");
  EdgeBlock uneven = Block({2}, {1}, {0});
  uneven.weights.clear();
  EXPECT_NE(Refusal(3, {uneven}), "");
}

}  // namespace
}  // namespace spar::graph
