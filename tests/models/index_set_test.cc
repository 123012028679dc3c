#include "models/index_set.h"

#include <random>
#include <set>

#include "gtest/gtest.h"

namespace spar::models {
namespace {

TEST(IndexSet, AgreesWithStdSetOnRandomOperations) {
  std::mt19937 random(7);
  for (const int universe : {1, 63, 64, 65, 200}) {
    IndexSet set(universe);
    std::set<int32_t> truth;
    for (int step = 0; step < 500; ++step) {
      const auto index = static_cast<int32_t>(random() % universe);
      if (random() % 2 == 0) {
        set.Insert(index);
        truth.insert(index);
      } else {
        set.Remove(index);
        truth.erase(index);
      }
      EXPECT_EQ(set.Contains(index), truth.contains(index));
    }
    const std::vector<int32_t> members = set.Members();
    EXPECT_EQ(std::set<int32_t>(members.begin(), members.end()), truth);
    EXPECT_TRUE(std::is_sorted(members.begin(), members.end()));
    EXPECT_EQ(set.Count(), static_cast<int>(truth.size()));
    EXPECT_EQ(IndexSet(universe, members), set);
  }
}

TEST(IndexSet, AllHoldsExactlyItsUniverse) {
  for (const int universe : {0, 1, 64, 65, 130}) {
    const IndexSet all = IndexSet::All(universe);
    EXPECT_EQ(all.Count(), universe);
    EXPECT_TRUE(all.IsAll());
  }
  EXPECT_FALSE(IndexSet(3).IsAll());
}

TEST(IndexSet, KnowsSubsetsAndUnions) {
  const std::vector<int32_t> low = {1, 70};
  const std::vector<int32_t> both = {1, 2, 70};
  IndexSet small(100, low);
  const IndexSet large(100, both);
  EXPECT_TRUE(small.IsSubsetOf(large));
  EXPECT_FALSE(large.IsSubsetOf(small));
  small.UniteWith(large);
  EXPECT_EQ(small, large);
}

}  // namespace
}  // namespace spar::models
