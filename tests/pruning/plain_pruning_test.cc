// Every step's losses against the definition.
#include "tests/pruning/plain_pruning.h"

#include <cmath>
#include <ostream>
#include <string>

#include "gtest/gtest.h"

#include "tests/pruning/pruning_fixture.h"

namespace spar::models {
namespace {

struct Case {
  std::string name = {};
  PruneRequest request = {};
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

std::vector<Case> Cases() {
  PruneRequest base{.decomposition = "d"};
  base.prompts = {{.tokens = {3, 14, 7, 20, 9}}};
  base.coefficients = {0.02};
  base.steps = 25;
  base.rate.rate = 0.05;
  base.seed = 12;
  std::vector<Case> cases;
  const auto add = [&](const std::string& name) -> PruneRequest& {
    cases.push_back({name, base});
    return cases.back().request;
  };
  PruneRequest& plain = add("CausalImportance");
  plain.masks = PruneMasks::kCausalImportance;
  plain.loss = PruneLoss::kDivergence;
  PruneRequest& middle = add("InTheMiddleTowardsAnotherToken");
  middle.masks = PruneMasks::kCausalImportance;
  middle.prompts[0].position = 2;
  middle.prompts[0].target = 5;
  middle.start = PruneStart::kImportances;
  middle.norm = {.power = 2,
                 .final_power = 0.4,
                 .anneal_begin = 0.2,
                 .anneal_end = 0.8,
                 .beta = 0.5};
  middle.rate = {.rate = 0.08,
                 .shape = RateShape::kCosine,
                 .final_share = 0.1,
                 .warmup = 0.2};
  add("Stochastic");
  PruneRequest& attacked = add("StochasticAndAttacked");
  attacked.adversary = {
      .steps = 3, .step_size = 0.2, .restarts = 2, .weight = 0.5};
  attacked.norm.per_position = false;
  attacked.coefficients = {0.004};
  return cases;
}

class PlainPruningTest : public testing::TestWithParam<Case> {};

TEST_P(PlainPruningTest, EveryStepHasTheLossesOfTheDefinition) {
  PruningFixture fixture;
  const PruneRequest& request = GetParam().request;
  const std::vector<PlainStep> want =
      PrunePlainly(fixture.decomposed(), request,
                   fixture.LogitsOf(request.prompts[0].tokens));
  const auto pruning = MakeTorchPruning(fixture.subject(), request, {});
  int told = 0;
  while (!pruning->done()) {
    const auto rows = pruning->Next();
    ASSERT_TRUE(rows.ok()) << rows.status();
    const PruneState& state = pruning->states()[0];
    if (state.steps == told) continue;
    ASSERT_EQ(state.steps, told + 1);
    const auto near = [&](double got, double plain, const char* what) {
      EXPECT_NEAR(got, plain, 1e-4 * (1 + std::abs(plain)))
          << what << " of step " << told;
    };
    const PruneLosses& losses = want[told].losses;
    near(state.losses.masked, losses.masked, "the masked loss");
    near(state.losses.attacked, losses.attacked, "the attacked loss");
    near(state.losses.price, losses.price, "the price");
    near(state.losses.total, losses.total, "the total");
    EXPECT_EQ(state.size, want[told].size) << "step " << told;
    told = state.steps;
  }
  EXPECT_EQ(told, request.steps);
  EXPECT_LT(want.back().size, want.front().size);
  EXPECT_LT(want.back().losses.total, want.front().losses.total);
}

INSTANTIATE_TEST_SUITE_P(All,
                         PlainPruningTest,
                         testing::ValuesIn(Cases()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace spar::models
