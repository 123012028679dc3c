#include "server/search/robust.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <memory>
#include <string>

#include "gtest/gtest.h"

#include "base/status.h"
#include "server/search/certificate.h"
#include "tests/search/inline_runner.h"
#include "tests/search/search_testing.h"

namespace spar::search {
namespace {

using models::FakeBackend;
using models::UnitId;

constexpr int kModels = 12;

models::FakeBackendOptions TinyOptions(uint64_t seed) {
  models::FakeBackendOptions options = ToyOptions(seed);
  options.num_neurons = 4;
  return options;  // 12 units
}

Question RobustQuestion(uint64_t seed, Mode mode = Mode::kSufficient) {
  Question question;
  question.tokens = RandomTokens(seed, 6, 24);
  question.options.mode = mode;
  question.options.sparse_fraction = 1;
  question.options.attack_steps = 20;
  question.options.attack_restarts = 4;
  return question;
}

absl::StatusOr<Explanation> Ask(const models::FakeBackendOptions& options,
                                const Question& question) {
  const auto explainer =
      Explainer::Make(std::make_unique<FakeBackend>(options), {});
  return AskAndWait(*explainer, question);
}

// A second implementation of the attack: one row at a time, on (units, T).
class Adversary {
 public:
  Adversary(FakeBackend* backend, const Certificate& certificate)
      : backend_(backend), certificate_(certificate) {
    auto prompt = std::make_shared<models::Prompt>();
    prompt->tokens = certificate.tokens;
    prompt->target = certificate.target;
    prompt->reference = certificate.reference;
    prompt_ = prompt;
  }

  models::RowGradient At(const std::vector<double>& masks,
                         const std::vector<int32_t>& positions) const {
    std::vector<models::GradientRow> rows(1);
    rows[0].prompt = prompt_;
    rows[0].masks.assign(masks.begin(), masks.end());
    rows[0].positions = models::IndexSet(
        static_cast<int>(certificate_.tokens.size()), positions);
    return (*backend_->Gradients(rows))[0];
  }

  double Worst(const std::vector<int32_t>& units,
               const std::vector<int32_t>& positions,
               int steps,
               std::vector<double>* point = nullptr) const {
    const CertifiedAttack& attack = *certificate_.attack;
    const int num_units = backend_->units().size();
    double worst = 1e9;
    for (int restart = 0; restart < attack.restarts; ++restart) {
      std::vector<double> masks(num_units, 0.0);
      for (int u = 0; u < num_units; ++u) {
        if (restart > 0) {
          masks[u] = RandomUnit(certificate_.seed, Draw::kAttack, restart, u);
        }
      }
      for (const int32_t u : units) masks[u] = 1;
      for (int step = 0; step <= steps; ++step) {
        const models::RowGradient at = At(masks, positions);
        if (at.margin < worst) {
          worst = at.margin;
          if (point != nullptr) *point = masks;
        }
        for (int u = 0; u < num_units; ++u) {
          if (std::find(units.begin(), units.end(), u) != units.end()) continue;
          const float slope = at.gradient[u];
          masks[u] -= attack.step_size * ((slope > 0) - (slope < 0));
          masks[u] = std::min(1.0, std::max(0.0, masks[u]));
        }
      }
    }
    return worst;
  }

 private:
  FakeBackend* const backend_;
  const Certificate certificate_;
  std::shared_ptr<const models::Prompt> prompt_;
};

// The plain set of a question, and what the attack makes of it.
struct Plain {
  Restriction restriction = {};
  Attacked attacked = {};
};

absl::StatusOr<Plain> AttackPlain(InlineRunner& runner,
                                  const Explanation& answer) {
  Case* const c = runner.state();
  RETURN_IF_ERROR(runner.Run(Baseline(c)).status());
  Plain plain;
  plain.restriction.units =
      models::IndexSet(c->subject.units->size(), answer.units);
  plain.restriction.positions =
      models::IndexSet(c->num_tokens(), answer.positions);
  std::vector<Restriction> one(1, plain.restriction);
  ASSIGN_OR_RETURN(std::vector<Attacked> attacked,
                   runner.Run(RunAttacks(c, std::move(one), false)));
  plain.attacked = std::move(attacked.front());
  return plain;
}

TEST(RunAttacks, FindsWhatCornersAndRandomMasksFind) {
  int attacked = 0;
  for (int seed = 1; seed <= kModels; ++seed) {
    const auto options = TinyOptions(seed);
    Question question = RobustQuestion(seed);
    question.options.attack_steps = 0;
    const auto answer = Ask(options, question);
    ASSERT_TRUE(answer.ok()) << answer.status();
    if (answer->verdict == Verdict::kUnstable) continue;
    question.options.attack_steps = 40;
    question.options.attack_restarts = 16;
    FakeBackend backend(options);
    InlineRunner runner(&backend, question);
    const auto plain = AttackPlain(runner, *answer);
    ASSERT_TRUE(plain.ok()) << plain.status();
    ++attacked;

    std::vector<models::GradientRow> rows;
    std::vector<UnitId> free;
    for (const UnitId id : runner.state()->candidates) {
      if (!plain->restriction.units.Contains(id)) free.push_back(id);
    }
    const std::vector<float> masks =
        runner.state()->MasksOf(plain->restriction.units);
    const auto add = [&](const std::function<float(size_t)>& mask_of) {
      std::vector<float> point = masks;
      for (size_t i = 0; i < free.size(); ++i) point[free[i]] = mask_of(i);
      rows.push_back(runner.state()->GradientRowOf(plain->restriction.positions,
                                                   std::move(point)));
    };
    for (uint32_t corner = 0; corner < (1u << free.size()); ++corner) {
      add([corner](size_t i) { return static_cast<float>((corner >> i) & 1); });
    }
    const size_t num_corners = rows.size();
    for (int i = 0; i < 1000; ++i) {
      add([i](size_t j) {
        return static_cast<float>(RandomUnit(3, Draw::kMasks, i, j));
      });
    }
    const auto results = backend.Gradients(rows);
    ASSERT_TRUE(results.ok());
    double corners = 1e9;
    double random = 1e9;
    for (size_t i = 0; i < results->size(); ++i) {
      double& lowest = i < num_corners ? corners : random;
      lowest = std::min(lowest, double{(*results)[i].margin});
    }
    EXPECT_LE(plain->attacked.worst.margin, random + 1e-6) << seed;
    // A local search: within a twentieth of the way down to the worst corner.
    EXPECT_LE(plain->attacked.worst.margin,
              corners + 0.05 * (answer->margin - corners))
        << seed;
    // The reference point is one of the attack's: never above the plain margin.
    EXPECT_LE(plain->attacked.worst_by_step.front(), answer->margin + 1e-6);
  }
  EXPECT_GE(attacked, 6);
}

TEST(RunAttacks, SideBySideIsAsOneByOne) {
  const auto options = ToyOptions(3);
  Question question = RobustQuestion(2);
  FakeBackend backend(options);
  InlineRunner runner(&backend, question);
  Case* const c = runner.state();
  ASSERT_TRUE(runner.Run(Baseline(c)).ok());
  std::vector<Restriction> sets;
  for (int i = 0; i < 40; ++i) {
    Restriction set;
    set.units = models::IndexSet(c->subject.units->size());
    for (const UnitId id : c->candidates) {
      if (RandomUnit(5, Draw::kMasks, i, id) < 0.5) set.units.Insert(id);
    }
    set.positions = c->AllPositions();
    sets.push_back(std::move(set));
  }
  for (const bool until_broken : {false, true}) {
    const auto together = runner.Run(RunAttacks(c, sets, until_broken));
    ASSERT_TRUE(together.ok());
    for (size_t i = 0; i < sets.size(); ++i) {
      std::vector<Restriction> one(1, sets[i]);
      const auto alone =
          runner.Run(RunAttacks(c, std::move(one), until_broken));
      ASSERT_TRUE(alone.ok());
      EXPECT_EQ((*together)[i].worst_by_step, alone->front().worst_by_step);
      EXPECT_EQ((*together)[i].worst.masks, alone->front().worst.masks);
    }
  }
}

TEST(Counterexamples, AreAskedOfOtherSetsAsTheHeaderSays) {
  FakeBackend backend(ToyOptions(1));
  InlineRunner runner(&backend, RobustQuestion(1));
  Case* const c = runner.state();
  const int size = c->subject.units->size();
  WorstPoint worst;
  worst.masks.assign(size, 0.25f);
  models::IndexSet broken(size);
  broken.Insert(3);
  broken.Insert(5);
  worst.masks[3] = worst.masks[5] = 1;
  Counterexamples counterexamples;
  counterexamples.Add(worst, broken);
  Restriction other;
  other.units = models::IndexSet(size);
  other.units.Insert(5);
  other.units.Insert(7);
  other.positions = c->AllPositions();
  const models::GradientRow row = counterexamples.PointOf(*c, 0, other);
  EXPECT_EQ(row.masks[3], 0.0f);   // of the broken set, not of this
  EXPECT_EQ(row.masks[5], 1.0f);   // of both
  EXPECT_EQ(row.masks[7], 1.0f);   // of this alone
  EXPECT_EQ(row.masks[9], 0.25f);  // of neither
}

// Every claim of a robust certificate, by the test's own adversary. Counts the
// deletions of which it states no point of the attack.
void CheckClaims(const models::FakeBackendOptions& options,
                 const Explanation& answer,
                 int* num_deletions,
                 int* num_unstated) {
  ASSERT_TRUE(answer.certificate.has_value());
  ASSERT_TRUE(answer.robustness.has_value());
  EXPECT_TRUE(answer.robustness->holds);
  const Certificate& c = *answer.certificate;
  ASSERT_TRUE(c.attack.has_value());
  FakeBackend backend(options);
  const Adversary adversary(&backend, c);
  const int steps = c.attack->steps;
  std::vector<double> point;
  const double worst = adversary.Worst(c.units, c.positions, steps, &point);
  EXPECT_GT(worst, c.tau_acc);
  EXPECT_NEAR(worst, c.attack->margin, 1e-5);
  EXPECT_NEAR(worst, answer.robustness->curve.back().second, 1e-5);
  for (size_t i = 0; i < c.units.size(); ++i) {
    ++*num_deletions;
    if (c.unit_deletion_margins[i] <= c.required_margin) continue;
    std::vector<int32_t> rest = c.units;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
    std::vector<double> without = point;
    without[c.units[i]] = 0;
    const double lowest =
        std::min(double{adversary.At(without, c.positions).margin},
                 adversary.Worst(rest, c.positions, steps));
    const double stated = c.attack->unit_deletion_margins[i];
    EXPECT_EQ(stated > c.tau_acc, lowest > c.tau_acc) << c.unit_names[i];
    *num_unstated += stated > c.tau_acc;
  }
}

TEST(Crystallize, GrowsASetThatHoldsWhereThePlainOneBreaks) {
  int grown = 0;
  int num_deletions = 0;
  int num_unstated = 0;
  for (int seed = 1; seed <= kModels; ++seed) {
    const auto options = ToyOptions(seed);
    const auto answer = Ask(options, RobustQuestion(seed));
    ASSERT_TRUE(answer.ok()) << answer.status();
    if (answer->verdict == Verdict::kUnstable) continue;
    CheckClaims(options, *answer, &num_deletions, &num_unstated);
    const Robustness& robustness = *answer->robustness;
    EXPECT_EQ(robustness.steps, 20);
    EXPECT_EQ(robustness.restarts, 4);
    for (const auto& curve : {robustness.curve, robustness.plain_curve}) {
      ASSERT_EQ(curve.size(), 4u);
      for (size_t i = 1; i < curve.size(); ++i) {
        EXPECT_LE(curve[i].second, curve[i - 1].second);
      }
    }
    const bool broke =
        robustness.plain_curve.back().second <= answer->certificate->tau_acc;
    grown += broke;
    if (!broke) {
      EXPECT_EQ(robustness.plain_units, static_cast<int>(answer->units.size()));
    }
    Question plain = RobustQuestion(seed);
    plain.options.attack_steps = 0;
    const auto without = Ask(options, plain);
    ASSERT_TRUE(without.ok());
    EXPECT_FALSE(without->robustness.has_value());
    EXPECT_EQ(static_cast<int>(without->units.size()), robustness.plain_units);
  }
  EXPECT_GE(grown, 3);
  EXPECT_GE(num_deletions, 40);
  // Refused by counterexamples of other sets, which a certificate has not.
  EXPECT_LE(10 * num_unstated, num_deletions);
}

TEST(ShrinkHeld, LeavesNoDeletionThatNothingRefuses) {
  int grown = 0;
  for (int seed = 1; seed <= kModels; ++seed) {
    Question question = RobustQuestion(seed);
    question.options.attack_steps = 0;
    const auto plain = Ask(ToyOptions(seed), question);
    ASSERT_TRUE(plain.ok());
    if (!plain->certificate.has_value()) continue;
    question.options.attack_steps = 20;
    FakeBackend backend(ToyOptions(seed));
    InlineRunner runner(&backend, question);
    Case* const c = runner.state();
    ASSERT_TRUE(runner.Run(Baseline(c)).ok());
    Verified start;
    start.restriction.units =
        models::IndexSet(c->subject.units->size(), plain->units);
    start.restriction.positions =
        models::IndexSet(c->num_tokens(), plain->positions);
    start.margin = plain->margin;
    Counterexamples points;
    const auto grow = runner.Run(GrowUntilHolds(c, start, &points));
    ASSERT_TRUE(grow.ok()) << grow.status();
    const auto held = runner.Run(ShrinkHeld(c, *grow, &points));
    ASSERT_TRUE(held.ok()) << held.status();
    const Restriction& now = held->set.restriction;
    EXPECT_TRUE(now.units.IsSubsetOf(grow->set.restriction.units));
    grown += points.size() > 0;
    for (int i = 0; i < points.size(); ++i) {
      std::vector<models::GradientRow> rows(1, points.PointOf(*c, i, now));
      EXPECT_GT((*backend.Gradients(rows))[0].margin, c->tau_acc);
    }
    for (const int32_t id : now.units.Members()) {
      const Restriction without = Without(now, Axis::kUnits, id);
      std::vector<Restriction> one(1, without);
      bool refused = !(*runner.Run(Judge(c, one))).front().passes;
      for (int i = 0; i < points.size() && !refused; ++i) {
        std::vector<models::GradientRow> rows(1,
                                              points.PointOf(*c, i, without));
        refused = (*backend.Gradients(rows))[0].margin <= c->tau_acc;
      }
      if (!refused) {
        const auto attacked = runner.Run(RunAttacks(c, one, false));
        refused = attacked->front().worst.margin <= c->tau_acc;
      }
      EXPECT_TRUE(refused) << seed << " " << id;
    }
  }
  EXPECT_GE(grown, 3);
}

TEST(Crystallize, HoldsInGroundedModeAndInOneSchemeToo) {
  int held = 0;
  for (int seed = 1; seed <= kModels; ++seed) {
    const auto options = ToyOptions(seed);
    Question question = RobustQuestion(seed, Mode::kGrounded);
    question.options.reference = models::ReferenceKind::kMean;
    question.options.scheme = models::UnitScheme::kNeuron;
    const auto answer = Ask(options, question);
    ASSERT_TRUE(answer.ok()) << answer.status();
    if (!answer->certificate.has_value()) continue;
    ++held;
    ASSERT_TRUE(answer->robustness.has_value());
    EXPECT_TRUE(answer->robustness->holds);
    EXPECT_GT(answer->certificate->attack->margin,
              answer->certificate->tau_acc);
    EXPECT_GT(answer->margin, answer->certificate->required_margin);
    FakeBackend backend(options);
    const auto verification =
        CheckCertificate(CertificateToJson(*answer->certificate), backend);
    ASSERT_TRUE(verification.ok()) << verification.status();
    EXPECT_NE(verification->verdict, CertificateVerdict::kInvalid)
        << verification->findings.front();
  }
  EXPECT_GE(held, 3);
}

TEST(Crystallize, SaysWhetherTheComplementFails) {
  for (int seed = 1; seed <= kModels; ++seed) {
    const auto options = ToyOptions(seed);
    Question question = RobustQuestion(seed);
    question.options.attack_steps = 0;
    const auto answer = Ask(options, question);
    ASSERT_TRUE(answer.ok());
    if (!answer->certificate.has_value()) continue;
    FakeBackend backend(options);
    models::Row row;
    auto prompt = std::make_shared<models::Prompt>();
    prompt->tokens = question.tokens;
    prompt->target = answer->target;
    row.prompt = prompt;
    row.units = models::IndexSet::All(backend.units().size());
    for (const UnitId id : answer->units) row.units.Remove(id);
    row.positions = models::IndexSet::All(6);
    ASSERT_TRUE(answer->margin_complement.has_value());
    EXPECT_NEAR(*answer->margin_complement, *backend.EvaluateExactly(row),
                1e-5);
  }
}

std::string Bytes(const Explanation& answer) {
  std::string text =
      base::Cat(answer.effort.rows, " ", answer.effort.gradient_rows, " ",
                answer.effort.rounds);
  if (answer.robustness.has_value()) {
    for (const auto& [steps, margin] : answer.robustness->curve) {
      text += base::Cat(" ", steps, ":", margin);
    }
  }
  if (answer.certificate.has_value()) {
    text += CertificateToJson(*answer.certificate);
  }
  return text;
}

TEST(Crystallize, AnswersAloneAsUnderLoad) {
  models::FakeBackendOptions options = ToyOptions(4);
  options.batch_noise = 0.9 * options.noise_floor;
  std::vector<std::string> alone;
  for (int i = 0; i < 6; ++i) {
    const auto answer = Ask(options, RobustQuestion(i));
    ASSERT_TRUE(answer.ok()) << answer.status();
    alone.push_back(Bytes(*answer));
  }
  ExplainerOptions patient;
  patient.batch_window_micros = 20'000;
  auto backend = std::make_unique<FakeBackend>(options);
  FakeBackend* const held = backend.get();
  const auto explainer = Explainer::Make(std::move(backend), patient);
  held->Hold();
  std::vector<Asked> asked(6);
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(
        explainer
            ->Start(RobustQuestion(i), asked[i].OnEvent(), asked[i].OnDone())
            .ok());
  }
  held->Release();
  for (int i = 0; i < 6; ++i) {
    const auto answer = asked[i].Result();
    ASSERT_TRUE(answer.ok());
    EXPECT_EQ(Bytes(*answer), alone[i]) << i;
  }
}

// A question whose plain set breaks.
Question BrokenQuestion(const models::FakeBackendOptions& options) {
  for (int seed = 1;; ++seed) {
    const Question question = RobustQuestion(seed);
    const auto answer = Ask(options, question);
    if (answer.ok() && answer->robustness.has_value() &&
        static_cast<int>(answer->units.size()) >
            answer->robustness->plain_units + 2) {
      return question;
    }
  }
}

TEST(Crystallize, AnyBudgetEndsInAVerifiedSetThatSaysWhatItIs) {
  const auto options = ToyOptions(2);
  Question question = BrokenQuestion(options);
  const auto whole = Ask(options, question);
  ASSERT_TRUE(whole.ok());
  const int64_t all = whole->effort.rows + whole->effort.gradient_rows;
  int unheld = 0;
  int held = 0;
  for (int64_t rows = 1; rows < all; rows += std::max<int64_t>(1, all / 60)) {
    question.options.max_rows = rows;
    const auto answer = Ask(options, question);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_LE(answer->effort.rows + answer->effort.gradient_rows, rows);
    if (answer->verdict != Verdict::kBudgetExhausted) continue;
    EXPECT_FALSE(answer->certificate.has_value());
    if (!answer->robustness.has_value()) continue;
    (answer->robustness->holds ? held : unheld) += 1;
    const bool says_so =
        answer->remark.find("holds against the attack") != std::string::npos;
    EXPECT_EQ(says_so, !answer->robustness->holds) << answer->remark;
    if (!answer->robustness->holds) {
      EXPECT_EQ(static_cast<int>(answer->units.size()),
                answer->robustness->plain_units);
    }
  }
  EXPECT_GE(unheld, 1);
  EXPECT_GE(held, 1);
}

TEST(Crystallize, IsCancelledWithinABatchWhileItAttacks) {
  const auto options = ToyOptions(2);
  const Question question = BrokenQuestion(options);
  auto backend = std::make_unique<FakeBackend>(options);
  FakeBackend* const held = backend.get();
  const auto explainer = Explainer::Make(std::move(backend), {});
  Asked asked;
  std::atomic<bool> hold = true;
  const auto id = explainer->Start(
      question,
      [&](const Event& event) {
        if (event.phase == Phase::kAttack && hold.exchange(false)) held->Hold();
      },
      asked.OnDone());
  ASSERT_TRUE(id.ok());
  held->AwaitHeld();
  explainer->Cancel(*id);
  EXPECT_EQ(asked.Result().status().code(), absl::StatusCode::kCancelled);
  const models::FakeCounters before = held->counters();
  held->Release();
  const auto next = AskAndWait(*explainer, question);
  ASSERT_TRUE(next.ok());
  const models::FakeCounters after = held->counters();
  // The batch in flight, and then nothing of the cancelled search.
  EXPECT_LE(after.rows + after.gradient_rows - before.rows -
                before.gradient_rows - next->effort.rows -
                next->effort.gradient_rows,
            64);
}

}  // namespace
}  // namespace spar::search
