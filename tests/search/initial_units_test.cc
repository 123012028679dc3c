// Searches that begin from given units.
#include <map>
#include <random>
#include <set>

#include "gtest/gtest.h"

#include "base/status.h"
#include "models/fake_backend.h"
#include "server/search/phases.h"
#include "tests/search/decomposition_truth.h"
#include "tests/search/inline_runner.h"
#include "tests/search/search_testing.h"

namespace spar::search {
namespace {

using models::UnitScheme;

// Units of the scheme that a coin of the seed keeps, about `share` of them.
std::vector<int32_t> SomeUnits(const models::UnitTable& units,
                               UnitScheme scheme,
                               uint64_t seed,
                               double share) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform;
  std::vector<int32_t> some;
  for (const int32_t id : units.Members(scheme)) {
    if (uniform(random) < share) some.push_back(id);
  }
  return some;
}

TEST(InitialUnits, BeginsFromTheUnitsItIsGiven) {
  int passed = 0;
  int grown = 0;
  for (const Mode mode : {Mode::kSufficient, Mode::kGrounded}) {
    for (const UnitScheme scheme : kDecomposedSchemes) {
      for (uint64_t seed = 1; seed <= 8; ++seed) {
        models::FakeBackend backend(DecomposedToy(seed));
        Question question = DecomposedQuestion(seed, scheme, mode);
        const QuestionUnits units(backend.units(),
                                  backend.FindDecomposition("main"), scheme, 6);
        const double share = seed % 2 == 0 ? 0.8 : 0.1;
        question.initial_units = SomeUnits(units.table(), scheme, seed, share);
        InlineRunner runner(&backend, question);
        const auto answer = runner.Run(Crystallize(runner.state()));
        ASSERT_TRUE(answer.ok()) << answer.status();
        if (!answer->certificate.has_value()) continue;
        const Certificate& c = *answer->certificate;
        ExpectHolds(backend, c);
        for (const Event& event : runner.events()) {
          EXPECT_NE(event.phase, Phase::kImprovement);
        }
        if (mode == Mode::kGrounded) continue;
        const std::set<int32_t> initial(question.initial_units->begin(),
                                        question.initial_units->end());
        const bool passes = TrueMargin(backend, c, c.tokens, initial,
                                       {0, 1, 2, 3, 4, 5}) > c.required_margin;
        ++(passes ? passed : grown);
        if (!passes) continue;
        for (const int32_t id : answer->units) {
          EXPECT_EQ(initial.count(id), 1u) << units.table().Name(id);
        }
      }
    }
  }
  EXPECT_GT(passed, 8);
  EXPECT_GT(grown, 4);
}

TEST(InitialUnits, FindsASetFromNothing) {
  int found = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    models::FakeBackend backend(DecomposedToy(seed));
    Question question =
        DecomposedQuestion(seed, UnitScheme::kNodeAndDelta, Mode::kSufficient);
    question.initial_units.emplace();
    InlineRunner runner(&backend, question);
    const auto answer = runner.Run(Crystallize(runner.state()));
    ASSERT_TRUE(answer.ok()) << answer.status();
    if (!answer->certificate.has_value()) continue;
    ExpectHolds(backend, *answer->certificate);
    found += answer->verdict == Verdict::kCrystallized;
  }
  EXPECT_GE(found, 3);
}

TEST(InitialUnits, RefusesUnitsThatAreNone) {
  auto explainer = Explainer::Make(
      std::make_unique<models::FakeBackend>(DecomposedToy(4)), {});
  struct Bad {
    UnitScheme scheme = UnitScheme::kNode;
    std::vector<int32_t> units = {};
    std::string field = {};
  };
  const std::vector<Bad> bads = {
      {UnitScheme::kNode, {0, -1}, "options.initial_unit_ids[1]"},
      {UnitScheme::kNode, {72}, "options.initial_unit_ids[0]"},
      {UnitScheme::kNode, {5}, "options.initial_unit_ids[0]"},  // Delta
      {UnitScheme::kNodeAndDelta, {1, 5, 2, 5}, "options.initial_unit_ids[3]"},
      {UnitScheme::kHead, {2}, "options.initial_unit_ids[0]"},  // a neuron
  };
  for (const Bad& bad : bads) {
    Question question = DecomposedQuestion(1, bad.scheme, Mode::kSufficient);
    if (bad.scheme == UnitScheme::kHead) question.options.decomposition = "";
    question.initial_units = bad.units;
    const auto answer = AskAndWait(*explainer, question);
    ASSERT_FALSE(answer.ok()) << bad.field;
    EXPECT_EQ(base::DetailOf(answer.status())->reason, "BAD_INITIAL_UNIT");
    EXPECT_EQ(base::DetailOf(answer.status())->field, bad.field);
  }
}

}  // namespace
}  // namespace spar::search
