// Searches over subcomponents and nodes, against brute force on toys.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "gtest/gtest.h"

#include "base/status.h"
#include "models/fake_backend.h"
#include "server/search/certificate.h"
#include "server/search/phases.h"
#include "tests/search/decomposition_truth.h"
#include "tests/search/inline_runner.h"
#include "tests/search/search_testing.h"

namespace spar::search {
namespace {

using models::UnitScheme;

TEST(DecompositionSearch, FindsOneMinimalSetsInEverySpace) {
  for (const Mode mode : {Mode::kSufficient, Mode::kGrounded}) {
    for (const UnitScheme scheme : kDecomposedSchemes) {
      std::map<Verdict, int> verdicts;
      int with_contrast = 0;
      int other_lengths = 0;
      for (uint64_t seed = 1; seed <= 10; ++seed) {
        models::FakeBackend backend(DecomposedToy(seed));
        Question question = DecomposedQuestion(seed, scheme, mode);
        if (seed % 3 == 0) {
          question.options.reference = models::ReferenceKind::kMean;
        }
        if (seed % 4 == 0) {
          question.options.position_mode = models::PositionMode::kReindex;
        }
        InlineRunner runner(&backend, question);
        const auto answer = runner.Run(Crystallize(runner.state()));
        ASSERT_TRUE(answer.ok()) << answer.status();
        ++verdicts[answer->verdict];
        const int per_position = scheme == UnitScheme::kSubcomponentAndDelta ||
                                         scheme == UnitScheme::kNodeAndDelta
                                     ? 12
                                     : 10;
        const bool nodes =
            scheme == UnitScheme::kNode || scheme == UnitScheme::kNodeAndDelta;
        EXPECT_EQ(answer->num_units, per_position * (nodes ? 6 : 1));
        if (!answer->certificate.has_value()) continue;
        const Certificate& c = *answer->certificate;
        ExpectHolds(backend, c);
        EXPECT_EQ(c.decomposition_digest, backend.decompositions()[1].digest);
        EXPECT_EQ(c.units, answer->units);
        for (const Event& event : runner.events()) {
          const std::set<int32_t> units(event.units.begin(), event.units.end());
          const std::set<int32_t> positions(event.positions.begin(),
                                            event.positions.end());
          EXPECT_NEAR(TrueMargin(backend, c, c.tokens, units, positions),
                      event.margin, 1e-4);
          EXPECT_GT(event.margin, c.tau_acc);
        }
        with_contrast += c.contrast_threshold > 0;
        for (const auto& control : c.controls) {
          other_lengths += control.size() != c.tokens.size();
        }
      }
      EXPECT_GE(verdicts[Verdict::kCrystallized], 3);
      if (mode == Mode::kGrounded) {
        EXPECT_GT(with_contrast, 0);
        EXPECT_GT(other_lengths, 0);
      }
    }
  }
}

TEST(DecompositionSearch, CountsAParameterOnceForAllPositions) {
  models::FakeBackend backend(DecomposedToy(2));
  const QuestionUnits units(backend.units(), backend.FindDecomposition("main"),
                            UnitScheme::kNodeAndDelta, 4);
  // Subcomponent 3 of the first module twice, and its Delta three times.
  EXPECT_EQ(units.Parameters({3, 5, 12 + 3, 12 + 5, 24 + 5}),
            (8 + 10) + 8 * 10);
}

TEST(DecompositionSearch, MovesNodesToTheEndOfOtherPrompts) {
  models::FakeBackend backend(DecomposedToy(2));
  const QuestionUnits units(backend.units(), backend.FindDecomposition("main"),
                            UnitScheme::kNode, 4);
  const models::IndexSet kept(48, std::vector<int32_t>{3, 12 + 4, 36 + 7});
  const std::vector<int32_t> deltas_of_two = {5, 11, 17, 23};
  models::IndexSet want(24, deltas_of_two);
  want.Insert(12 + 7);
  EXPECT_EQ(units.RowUnitsOn(2, kept), want);
  EXPECT_EQ(units.IdOn(2, 3), -1);
  EXPECT_EQ(units.IdOn(5, 3), 15);
  EXPECT_EQ(units.RowUnitsOn(4, kept), units.RowUnits(kept));
  EXPECT_EQ(units.MasksOn(2, kept)[19], 1.0f);
}

// Every order of a decomposition is one of the nodes at the kept positions, and
// the last is by causal importance.
TEST(DecompositionSearch, OrdersWhatCanMatterByImportanceToo) {
  for (const UnitScheme scheme :
       {UnitScheme::kNode, UnitScheme::kSubcomponent}) {
    models::FakeBackend backend(DecomposedToy(3));
    InlineRunner runner(&backend,
                        DecomposedQuestion(3, scheme, Mode::kSufficient));
    Case* c = runner.state();
    ASSERT_TRUE(*runner.Run(Baseline(c)));
    const models::IndexSet positions(6, std::vector<int32_t>{1, 5});
    const auto orders = runner.Run(ScoreUnits(c, positions, kFewScoreRows));
    ASSERT_TRUE(orders.ok()) << orders.status();
    ASSERT_EQ(orders->size(), 4u);
    const bool nodes = scheme == UnitScheme::kNode;
    const auto importances = backend.Importances(
        "main", std::vector<std::vector<models::TokenId>>{c->tokens()}, {});
    const auto importance = [&](int32_t id) {
      const models::Unit unit = c->units.table().At(id);
      double largest = 0;
      for (const int t : {1, 5}) {
        if (nodes && t != unit.position) continue;
        const auto& module = (*importances)[0].modules[unit.module];
        for (int64_t i = module.begin[t]; i < module.begin[t + 1]; ++i) {
          if (module.component[i] != unit.index) continue;
          largest = std::max(largest, double{module.importance[i]});
        }
      }
      return largest;
    };
    for (const std::vector<int32_t>& order : *orders) {
      EXPECT_EQ(order.size(), nodes ? 20u : 10u);
      std::vector<int32_t> sorted = order;
      std::sort(sorted.begin(), sorted.end());
      EXPECT_EQ(sorted, c->units.Live(positions));
    }
    const std::vector<int32_t>& by_importance = orders->back();
    for (size_t i = 1; i < by_importance.size(); ++i) {
      EXPECT_GE(importance(by_importance[i - 1]), importance(by_importance[i]));
    }
    EXPECT_GT(importance(by_importance.front()), 0);
  }
}

TEST(DecompositionSearch, GivesOneAnswerAloneAndInACrowd) {
  models::FakeBackendOptions options = DecomposedToy(4);
  options.batch_noise = 4e-6;
  auto explainer =
      Explainer::Make(std::make_unique<models::FakeBackend>(options), {});
  const Question question =
      DecomposedQuestion(4, UnitScheme::kNode, Mode::kGrounded);
  const auto alone = AskAndWait(*explainer, question);
  ASSERT_TRUE(alone.ok()) << alone.status();
  std::vector<Asked> crowd(8);
  for (size_t i = 0; i < crowd.size(); ++i) {
    Question other = question;
    if (i % 2 == 0) other.options.scheme = UnitScheme::kSubcomponent;
    ASSERT_TRUE(
        explainer->Start(other, crowd[i].OnEvent(), crowd[i].OnDone()).ok());
  }
  for (size_t i = 0; i < crowd.size(); ++i) {
    const auto answer = crowd[i].Result();
    ASSERT_TRUE(answer.ok()) << answer.status();
    if (i % 2 == 0) continue;
    EXPECT_EQ(answer->units, alone->units);
    ASSERT_EQ(answer->certificate.has_value(), alone->certificate.has_value());
    if (!answer->certificate.has_value()) continue;
    EXPECT_EQ(CertificateToJson(*answer->certificate),
              CertificateToJson(*alone->certificate));
  }
}

TEST(DecompositionSearch, RefusesQuestionsWithoutUnits) {
  models::FakeBackendOptions options = DecomposedToy(4);
  options.num_components = 1 << 19;
  options.num_layers = 1;
  options.reference_prompts.clear();
  auto explainer =
      Explainer::Make(std::make_unique<models::FakeBackend>(options), {});
  struct Bad {
    UnitScheme scheme = UnitScheme::kNode;
    std::string decomposition = {};
    std::string reason = {};
    std::string field = "options.decomposition";
  };
  const std::vector<Bad> bads = {
      {UnitScheme::kNode, "", "DECOMPOSITION_REQUIRED"},
      {UnitScheme::kSubcomponentAndDelta, "", "DECOMPOSITION_REQUIRED"},
      {UnitScheme::kNode, "none", "DECOMPOSITION_NOT_FOUND"},
      {UnitScheme::kHead, "main", "DECOMPOSITION_NOT_WANTED"},
      {UnitScheme::kNode, "main", "TOO_MANY_UNITS", "prompt"},
  };
  for (const Bad& bad : bads) {
    Question question = DecomposedQuestion(1, bad.scheme, Mode::kSufficient);
    question.options.decomposition = bad.decomposition;
    const auto answer = AskAndWait(*explainer, question);
    ASSERT_FALSE(answer.ok()) << bad.reason;
    EXPECT_EQ(base::DetailOf(answer.status())->reason, bad.reason);
    EXPECT_EQ(base::DetailOf(answer.status())->field, bad.field);
    EXPECT_FALSE(explainer->UnitsOf(question).ok());
  }
}

}  // namespace
}  // namespace spar::search
