// What to take out of a model, by hand-made numbers.
#include "models/studies/suppression.h"

#include <set>

#include <gtest/gtest.h>

namespace spar::studies {
namespace {

TEST(Suppression, RanksByHarmToTheFactLessHarmToOthers) {
  const std::vector<SuppressionEffect> effects = {
      {.component = {0, 1}, .fact = 2, .others = 1.5},   // 0.5, or -1 at 2
      {.component = {1, 0}, .fact = 1, .others = 0.1},   // 0.9, or 0.8
      {.component = {2, 0}, .fact = -1, .others = 0},    // helps the fact
      {.component = {0, 7}, .fact = 0.5, .others = 0}};  // 0.5
  using Order = std::vector<Component>;
  EXPECT_EQ(Ranked(effects, 1), (Order{{1, 0}, {0, 1}, {0, 7}}));
  EXPECT_EQ(Ranked(effects, 2), (Order{{1, 0}, {0, 7}}));
  EXPECT_EQ(Ranked(effects, 0), (Order{{0, 1}, {1, 0}, {0, 7}}));
}

class Controls : public testing::Test {
 protected:
  Controls() {
    for (int c = 0; c < 10; ++c) {
      norms_[0].push_back(static_cast<float>(c));
      norms_[1].push_back(static_cast<float>(10 * c));
      pool_.push_back({0, c});
      pool_.push_back({1, c});
    }
  }

  std::vector<std::vector<float>> norms_ = std::vector<std::vector<float>>(2);
  std::vector<Component> pool_ = {};
};

TEST_F(Controls, AreOthersOfTheSameModuleAndOfTheNearestNorms) {
  const std::vector<Component> chosen = {{0, 4}, {1, 9}, {0, 5}};
  std::set<int> first;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const auto controls = EqualNormControls(chosen, pool_, norms_, 2, seed);
    ASSERT_EQ(controls.size(), 3u);
    EXPECT_EQ(controls[0].module, 0);
    EXPECT_TRUE(controls[0].index == 3 || controls[0].index == 2 ||
                controls[0].index == 6)
        << controls[0].index;
    first.insert(controls[0].index);
    EXPECT_EQ(controls[1].module, 1);
    EXPECT_GE(controls[1].index, 7);
    EXPECT_LE(controls[1].index, 8);
    EXPECT_EQ(controls[2].module, 0);
    const std::set<Component> all(controls.begin(), controls.end());
    EXPECT_EQ(all.size(), 3u);
    for (const Component& component : chosen) {
      EXPECT_FALSE(all.contains(component));
    }
  }
  EXPECT_EQ(first.size(), 2u);  // both of the nearest two are drawn
}

TEST_F(Controls, FollowTheSeed) {
  const std::vector<Component> chosen = {{0, 4}, {1, 9}, {0, 5}, {1, 2}};
  EXPECT_EQ(EqualNormControls(chosen, pool_, norms_, 8, 3),
            EqualNormControls(chosen, pool_, norms_, 8, 3));
  EXPECT_NE(EqualNormControls(chosen, pool_, norms_, 8, 3),
            EqualNormControls(chosen, pool_, norms_, 8, 4));
}

TEST_F(Controls, AreFewerWhereThePoolIsShort) {
  const std::vector<Component> chosen = {{0, 0}, {0, 1}, {1, 0}};
  const std::vector<Component> pool = {{0, 0}, {0, 2}};
  EXPECT_EQ(EqualNormControls(chosen, pool, norms_, 4, 0),
            (std::vector<Component>{{0, 2}}));
}

TEST(Quantile, IsLinearBetweenNeighbours) {
  EXPECT_EQ(Quantile({3, 1, 2}, 0.5), 2);
  EXPECT_EQ(Quantile({4, 1, 2, 3}, 0.5), 2.5);
  EXPECT_EQ(Quantile({0, 10}, 0.25), 2.5);
  EXPECT_EQ(Quantile({7}, 0.9), 7);
  EXPECT_EQ(Quantile({1, 2, 5}, 1), 5);
}

}  // namespace
}  // namespace spar::studies
