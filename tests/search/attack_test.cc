#include "server/search/attack.h"

#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "server/search/random.h"

namespace spar::search {
namespace {

TEST(Attack, StepsAgainstTheSignAndClips) {
  AttackSettings settings;
  settings.steps = 3;
  settings.step_size = 0.4;
  settings.restarts = 2;
  settings.seed = 7;
  Attack attack(settings, {1, 0, 0, 1, 0}, {1, 2, 4});
  ASSERT_EQ(attack.points().size(), 2u);
  EXPECT_EQ(attack.points()[0], (std::vector<float>{1, 0, 0, 1, 0}));
  const auto start = [](int u) {
    return static_cast<float>(RandomUnit(7, Draw::kAttack, 1, u));
  };
  EXPECT_EQ(attack.points()[1],
            (std::vector<float>{1, start(1), start(2), 1, start(4)}));
  std::vector<models::RowGradient> gradients(2);
  gradients[0].margin = 3;
  gradients[1].margin = 2;
  for (auto& gradient : gradients) gradient.gradient = {-1, -1, 1, -1, 0};
  attack.Take(gradients);
  EXPECT_FALSE(attack.done());
  EXPECT_EQ(attack.points()[0], (std::vector<float>{1, 0.4f, 0, 1, 0}));
  EXPECT_FLOAT_EQ(attack.points()[1][4], start(4));
  gradients[0].margin = 5;
  gradients[1].margin = 4;
  attack.Take(gradients);
  attack.Take(gradients);
  EXPECT_EQ(attack.points()[0], (std::vector<float>{1, 1, 0, 1, 0}));
  gradients[0].margin = -1;
  gradients[1].margin = -1;
  attack.Take(gradients);
  EXPECT_TRUE(attack.done());
  EXPECT_EQ(attack.worst_by_step(), (std::vector<double>{2, 2, 2, -1}));
  EXPECT_EQ(attack.worst().masks, (std::vector<float>{1, 1, 0, 1, 0}));
}

TEST(Attack, EndsWhereItIsToldAndWithoutUnitsAtOnce) {
  AttackSettings settings;
  settings.steps = 9;
  settings.restarts = 3;
  Attack stopped(settings, {0, 0}, {0, 1}, 0.5);
  std::vector<models::RowGradient> gradients(3);
  for (auto& gradient : gradients) {
    gradient.margin = 0.5;
    gradient.gradient = {0, 0};
  }
  stopped.Take(gradients);
  EXPECT_TRUE(stopped.done());
  EXPECT_EQ(stopped.worst_by_step().size(), 1u);

  Attack full(settings, {1, 1}, {});
  EXPECT_EQ(full.points().size(), 1u);
  gradients.resize(1);
  full.Take(gradients);
  EXPECT_TRUE(full.done());
  EXPECT_EQ(full.worst_by_step(), std::vector<double>(10, 0.5));
}

TEST(Attack, ItsCurveNamesTheDeclaredSteps) {
  std::vector<double> worst(101);
  for (int i = 0; i <= 100; ++i) worst[i] = -i;
  const std::vector<std::pair<int, double>> want = {
      {0, 0}, {1, -1}, {5, -5}, {20, -20}, {80, -80}, {100, -100}};
  EXPECT_EQ(AttackCurve(worst), want);
  worst.resize(21);
  EXPECT_EQ(AttackCurve(worst).back(), std::make_pair(20, -20.0));
  EXPECT_EQ(AttackCurve(worst).size(), 4u);
  worst.resize(2);
  EXPECT_EQ(AttackCurve(worst).size(), 2u);
}

}  // namespace
}  // namespace spar::search
