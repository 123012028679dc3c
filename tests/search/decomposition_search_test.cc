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
#include "tests/search/inline_runner.h"
#include "tests/search/search_testing.h"

namespace spar::search {
namespace {

using models::UnitScheme;

constexpr UnitScheme kSchemes[] = {
    UnitScheme::kSubcomponent, UnitScheme::kSubcomponentAndDelta,
    UnitScheme::kNode, UnitScheme::kNodeAndDelta};

models::FakeBackendOptions Toy(uint64_t seed) {
  models::FakeBackendOptions options = ToyOptions(seed);
  options.decompositions = {"other", "main"};
  options.num_components = 5;
  return options;
}

Question QuestionOf(uint64_t seed, UnitScheme scheme, Mode mode) {
  Question question;
  question.tokens = RandomTokens(seed, 6, 24);
  question.options.mode = mode;
  question.options.scheme = scheme;
  question.options.decomposition = "main";
  question.options.sparse_fraction = 1;
  return question;
}

// The restricted margin as docs/certificate.md defines it, written apart from
// the search: which subcomponents are on at which position of a prompt of
// another length too.
double Margin(models::FakeBackend& backend,
              const Certificate& c,
              const std::vector<models::TokenId>& tokens,
              const std::set<int32_t>& units,
              const std::set<int32_t>& positions) {
  const bool nodes =
      c.scheme == UnitScheme::kNode || c.scheme == UnitScheme::kNodeAndDelta;
  const bool counts_delta = c.scheme == UnitScheme::kSubcomponentAndDelta ||
                            c.scheme == UnitScheme::kNodeAndDelta;
  constexpr int kModules = 2;
  constexpr int kPerModule = 6;  // five subcomponents, then Delta
  constexpr int kPerPosition = kModules * kPerModule;
  const int length = static_cast<int>(tokens.size());
  const int shift = length - static_cast<int>(c.tokens.size());
  auto prompt = std::make_shared<models::Prompt>();
  prompt->tokens = tokens;
  prompt->target = c.target;
  prompt->reference = c.reference;
  prompt->position_mode = c.position_mode;
  prompt->space =
      nodes ? models::UnitSpace::kNodes : models::UnitSpace::kSubcomponents;
  prompt->decomposition = "main";
  models::Row row;
  row.prompt = prompt;
  row.units = models::IndexSet(kPerPosition * (nodes ? length : 1));
  for (int id = 0; id < row.units.universe(); ++id) {
    const int within = id % kPerPosition;
    const bool delta = within % kPerModule == kPerModule - 1;
    const int own =
        nodes ? within + (id / kPerPosition - shift) * kPerPosition : within;
    if ((delta && !counts_delta) || units.count(own) > 0) row.units.Insert(id);
  }
  row.positions = models::IndexSet(length);
  for (const int32_t t : positions) row.positions.Insert(t + shift);
  const auto margin = backend.EvaluateExactly(row);
  EXPECT_TRUE(margin.ok()) << margin.status();
  return margin.value_or(0);
}

double FullMargin(models::FakeBackend& backend,
                  const Certificate& c,
                  const std::vector<models::TokenId>& tokens) {
  auto prompt = std::make_shared<models::Prompt>();
  prompt->tokens = tokens;
  prompt->target = c.target;
  models::Row row;
  row.prompt = prompt;
  row.units = models::IndexSet::All(backend.units().size());
  row.positions = models::IndexSet::All(static_cast<int>(tokens.size()));
  return *backend.EvaluateExactly(row);
}

double Contrast(models::FakeBackend& backend,
                const Certificate& c,
                const std::set<int32_t>& units,
                const std::set<int32_t>& positions) {
  int others = 0;
  for (const auto& control : c.controls) {
    others += Margin(backend, c, control, units, positions) <= 0;
  }
  return static_cast<double>(others) / static_cast<double>(c.controls.size());
}

double Precision(models::FakeBackend& backend,
                 const Certificate& c,
                 const std::set<int32_t>& positions) {
  int says = 0;
  for (std::vector<models::TokenId> sample : c.replacements) {
    for (const int32_t t : positions) sample[t] = c.tokens[t];
    says += FullMargin(backend, c, sample) > 0;
  }
  return static_cast<double>(says) / static_cast<double>(c.replacements.size());
}

// Everything that a certificate claims, by brute force.
void ExpectHolds(models::FakeBackend& backend, const Certificate& c) {
  const std::set<int32_t> units(c.units.begin(), c.units.end());
  const std::set<int32_t> positions(c.positions.begin(), c.positions.end());
  const double margin = Margin(backend, c, c.tokens, units, positions);
  EXPECT_GT(margin, c.required_margin);
  EXPECT_NEAR(margin, c.margin, 1e-4);
  EXPECT_NEAR(Margin(backend, c, c.tokens, {}, positions), c.margin_empty,
              1e-4);
  EXPECT_NEAR(FullMargin(backend, c, c.tokens), c.margin_full, 1e-4);
  const bool contrast = c.contrast_threshold > 0;
  if (contrast) {
    EXPECT_GE(Contrast(backend, c, units, positions), c.contrast_threshold);
  }
  for (size_t i = 0; i < c.units.size(); ++i) {
    std::set<int32_t> fewer = units;
    fewer.erase(c.units[i]);
    const double without = Margin(backend, c, c.tokens, fewer, positions);
    EXPECT_NEAR(without, c.unit_deletion_margins[i], 1e-4);
    if (without <= c.required_margin) continue;
    ASSERT_TRUE(contrast) << c.unit_names[i] << " is not needed";
    EXPECT_LT(Contrast(backend, c, fewer, positions), c.contrast_threshold)
        << c.unit_names[i];
  }
  size_t next = 0;
  for (const int32_t t : c.positions) {
    if (t + 1 == static_cast<int>(c.tokens.size())) continue;
    std::set<int32_t> fewer = positions;
    fewer.erase(t);
    const double without = Margin(backend, c, c.tokens, units, fewer);
    EXPECT_NEAR(without, c.position_deletion_margins[next++], 1e-4);
    if (without <= c.required_margin) continue;
    ASSERT_EQ(c.mode, Mode::kGrounded) << "position " << t << " is not needed";
    EXPECT_LT(Precision(backend, c, fewer), c.precision_threshold) << t;
  }
}

TEST(DecompositionSearch, FindsOneMinimalSetsInEverySpace) {
  for (const Mode mode : {Mode::kSufficient, Mode::kGrounded}) {
    for (const UnitScheme scheme : kSchemes) {
      std::map<Verdict, int> verdicts;
      int with_contrast = 0;
      int other_lengths = 0;
      for (uint64_t seed = 1; seed <= 10; ++seed) {
        models::FakeBackend backend(Toy(seed));
        Question question = QuestionOf(seed, scheme, mode);
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
          EXPECT_NEAR(Margin(backend, c, c.tokens, units, positions),
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
  models::FakeBackend backend(Toy(2));
  const QuestionUnits units(backend.units(), backend.FindDecomposition("main"),
                            UnitScheme::kNodeAndDelta, 4);
  // Subcomponent 3 of the first module twice, and its Delta three times.
  EXPECT_EQ(units.Parameters({3, 5, 12 + 3, 12 + 5, 24 + 5}),
            (8 + 10) + 8 * 10);
}

TEST(DecompositionSearch, MovesNodesToTheEndOfOtherPrompts) {
  models::FakeBackend backend(Toy(2));
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
    models::FakeBackend backend(Toy(3));
    InlineRunner runner(&backend, QuestionOf(3, scheme, Mode::kSufficient));
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
  models::FakeBackendOptions options = Toy(4);
  options.batch_noise = 4e-6;
  auto explainer =
      Explainer::Make(std::make_unique<models::FakeBackend>(options), {});
  const Question question = QuestionOf(4, UnitScheme::kNode, Mode::kGrounded);
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
  models::FakeBackendOptions options = Toy(4);
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
    Question question = QuestionOf(1, bad.scheme, Mode::kSufficient);
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
