#include "models/torch/mask_tree.h"

#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/conformance/rows.h"

namespace spar::models {
namespace {

using testing::ElementsAre;

IndexSet Without(int universe, int32_t unit) {
  IndexSet set = IndexSet::All(universe);
  set.Remove(unit);
  return set;
}

TEST(MaskTree, RowsPartAtTheFirstRangeWhereTheyDiffer) {
  const std::vector<UnitRange> ranges = {{0, 3}, {3, 3}, {6, 3}};
  const IndexSet all = IndexSet::All(9);
  const IndexSet late = Without(9, 7);
  const IndexSet early = Without(9, 1);
  const std::vector<TreeRow> rows = {
      {0, &late}, {0, &all}, {0, &early}, {0, &late}};
  const MaskTree tree = GrowMaskTree(rows, ranges, /*share=*/true);
  EXPECT_THAT(tree.root, ElementsAre(0));
  EXPECT_THAT(tree.stages[0].parent, ElementsAre(0, 0));
  EXPECT_THAT(tree.stages[1].parent, ElementsAre(0, 1));
  EXPECT_THAT(tree.stages[2].parent, ElementsAre(0, 0, 1));
  EXPECT_THAT(tree.leaf, ElementsAre(0, 1, 2, 0));
}

TEST(MaskTree, RowsOfDifferentSequencesNeverShare) {
  const std::vector<UnitRange> ranges = {{0, 4}};
  const IndexSet all = IndexSet::All(4);
  const std::vector<TreeRow> rows = {{1, &all}, {0, &all}, {1, &all}};
  const MaskTree tree = GrowMaskTree(rows, ranges, /*share=*/true);
  EXPECT_THAT(tree.root, ElementsAre(0, 1));
  EXPECT_THAT(tree.leaf, ElementsAre(1, 0, 1));
}

TEST(MaskTree, WithoutSharingEveryRowIsANode) {
  const std::vector<UnitRange> ranges = {{0, 2}, {2, 2}};
  const IndexSet all = IndexSet::All(4);
  const std::vector<TreeRow> rows = {{1, &all}, {0, &all}, {1, &all}};
  const MaskTree tree = GrowMaskTree(rows, ranges, /*share=*/false);
  EXPECT_THAT(tree.root, ElementsAre(0, 1, 1));
  EXPECT_THAT(tree.leaf, ElementsAre(1, 0, 2));
  EXPECT_THAT(tree.stages[1].row, ElementsAre(1, 0, 2));
}

// At every depth a row's node must stand for a row that keeps the same units so
// far, and two rows that do must have one node.
TEST(MaskTree, NodesAreExactlyTheDistinctPrefixes) {
  std::mt19937 random(3);
  const std::vector<UnitRange> ranges = {{0, 70}, {70, 5}, {75, 130}};
  std::vector<IndexSet> sets;
  for (int i = 0; i < 30; ++i) {
    sets.push_back(IndexSet::All(205));
    if (random() % 2) sets.back().Remove(static_cast<int32_t>(random() % 205));
  }
  std::vector<TreeRow> rows;
  for (const IndexSet& set : sets) {
    rows.push_back({static_cast<int>(random() % 2), &set});
  }
  const MaskTree tree = GrowMaskTree(rows, ranges, /*share=*/true);
  const auto same_until = [&](int a, int b, int unit) {
    bool same = rows[a].sequence == rows[b].sequence;
    for (int i = 0; i < unit; ++i) {
      same = same && sets[a].Contains(i) == sets[b].Contains(i);
    }
    return same;
  };
  for (int a = 0; a < 30; ++a) {
    for (int b = 0; b < 30; ++b) {
      int node_a = tree.leaf[a], node_b = tree.leaf[b];
      for (int depth = 2; depth >= 0; --depth) {
        const UnitRange& range = ranges[depth];
        EXPECT_EQ(node_a == node_b,
                  same_until(a, b, range.first + range.count));
        node_a = tree.stages[depth].parent[node_a];
        node_b = tree.stages[depth].parent[node_b];
      }
    }
  }
}

}  // namespace
}  // namespace spar::models
