// The phases against brute force on toys small enough for it.
#include "server/search/phases.h"

#include <algorithm>

#include "gtest/gtest.h"

#include "models/fake_backend.h"
#include "tests/search/inline_runner.h"
#include "tests/search/search_testing.h"

namespace spar::search {
namespace {

Question QuestionOf(uint64_t seed, Mode mode, int length = 7) {
  Question question;
  question.tokens = RandomTokens(seed, length, 24);
  question.options.mode = mode;
  question.options.sparse_fraction = 1;
  return question;
}

double Margin(models::FakeBackend& backend,
              const Case& c,
              const Restriction& restriction) {
  return *backend.EvaluateExactly(c.RowOf(restriction));
}

// The loop that the speculative deletion claims to equal.
Restriction SequentialLoop(models::FakeBackend& backend,
                           const Case& c,
                           Restriction now,
                           const std::vector<int32_t>& order,
                           Axis axis) {
  bool changed = true;
  while (changed) {
    changed = false;
    for (const int32_t item : order) {
      if (!Side(now, axis).Contains(item)) continue;
      const Restriction trial = Without(now, axis, item);
      if (Margin(backend, c, trial) <= c.required_margin) continue;
      now = trial;
      changed = true;
    }
  }
  return now;
}

std::vector<int32_t> Shuffled(std::vector<int32_t> items, uint64_t seed) {
  std::stable_sort(items.begin(), items.end(), [seed](int32_t a, int32_t b) {
    return RandomBits(seed, Draw::kMasks, 7, a) <
           RandomBits(seed, Draw::kMasks, 7, b);
  });
  return items;
}

TEST(Deletion, GivesTheSetOfTheOneAtATimeLoop) {
  int num_cases = 0;
  int num_wasted = 0;
  for (uint64_t seed = 1; num_cases < 100; ++seed) {
    models::FakeBackendOptions options = ToyOptions(seed);
    // Small lists begin with all singles, long ones with gradients.
    options.num_neurons = seed % 4 != 0 ? 12 : 70;
    options.interaction = seed % 3 == 0 ? 0 : 1;
    models::FakeBackend backend(options);
    InlineRunner runner(&backend, QuestionOf(seed, Mode::kSufficient));
    Case* c = runner.state();
    const absl::StatusOr<bool> stable = runner.Run(Baseline(c));
    ASSERT_TRUE(stable.ok());
    if (!*stable) continue;
    ++num_cases;
    Verified start;
    start.restriction.units = c->AllUnits();
    start.restriction.positions = c->AllPositions();
    start.margin = c->margin_full;
    const std::vector<int32_t> order = Shuffled(c->candidates, seed);
    const int64_t before = backend.counters().rows;
    const absl::StatusOr<Verified> shrunk =
        runner.Run(Shrink(c, start, order, Axis::kUnits));
    ASSERT_TRUE(shrunk.ok());
    num_wasted += static_cast<int>(backend.counters().rows - before);
    EXPECT_EQ(
        shrunk->restriction,
        SequentialLoop(backend, *c, start.restriction, order, Axis::kUnits))
        << "seed " << seed;
    EXPECT_NEAR(shrunk->margin, Margin(backend, *c, shrunk->restriction), 1e-5);

    std::vector<int32_t> positions;
    for (int t = 0; t + 1 < c->num_tokens(); ++t) positions.push_back(t);
    positions = Shuffled(positions, seed);
    const absl::StatusOr<Verified> shorter =
        runner.Run(Shrink(c, *shrunk, positions, Axis::kPositions));
    ASSERT_TRUE(shorter.ok());
    EXPECT_EQ(shorter->restriction,
              SequentialLoop(backend, *c, shrunk->restriction, positions,
                             Axis::kPositions));
  }
  EXPECT_GT(num_wasted, 0);
}

TEST(Prefix, FindsATrueBoundaryOfSomeOrder) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    models::FakeBackendOptions options = ToyOptions(seed);
    options.num_neurons = 40;
    models::FakeBackend backend(options);
    InlineRunner runner(&backend, QuestionOf(seed, Mode::kSufficient));
    Case* c = runner.state();
    if (!*runner.Run(Baseline(c))) continue;
    std::vector<std::vector<int32_t>> orders;
    for (uint64_t i = 0; i < 3; ++i) {
      orders.push_back(Shuffled(c->candidates, 100 * seed + i));
    }
    Restriction base;
    base.units = models::IndexSet(backend.units().size());
    base.positions = c->AllPositions();
    const auto prefix = runner.Run(FindPrefix(c, base, orders, Axis::kUnits));
    ASSERT_TRUE(prefix.ok());
    ASSERT_TRUE(prefix->has_value());
    const auto margin_of = [&](int order, int size) {
      Restriction restriction = base;
      for (int i = 0; i < size; ++i) {
        restriction.units.Insert(orders[order][i]);
      }
      return Margin(backend, *c, restriction);
    };
    const int order = (*prefix)->order;
    const int size = (*prefix)->size;
    EXPECT_GT(margin_of(order, size), c->required_margin);
    EXPECT_NEAR(margin_of(order, size), (*prefix)->margin, 1e-5);
    if (size > 0) {
      EXPECT_LE(margin_of(order, size - 1), c->required_margin);
    }
  }
}

// Every single deletion, by the exact path.
void ExpectOneMinimal(models::FakeBackend& backend,
                      Case* c,
                      const Explanation& answer) {
  Restriction found;
  found.units = models::IndexSet(backend.units().size(), answer.units);
  found.positions = models::IndexSet(c->num_tokens(), answer.positions);
  EXPECT_GT(Margin(backend, *c, found), c->required_margin);
  for (const int32_t id : answer.units) {
    EXPECT_LE(Margin(backend, *c, Without(found, Axis::kUnits, id)),
              c->required_margin);
  }
  for (const int32_t t : answer.positions) {
    if (c->IsFixed(t)) continue;
    EXPECT_LE(Margin(backend, *c, Without(found, Axis::kPositions, t)),
              c->required_margin);
  }
}

TEST(Crystallize, GivesAOneMinimalSetOnRandomToys) {
  int num_answers = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    models::FakeBackendOptions options = ToyOptions(seed);
    options.interaction = seed % 4 == 0 ? 0 : 1;
    models::FakeBackend backend(options);
    Question question = QuestionOf(seed, Mode::kSufficient);
    question.options.pin_first = seed % 5 == 0;
    if (seed % 6 == 1) question.options.scheme = models::UnitScheme::kNeuron;
    if (seed % 6 == 2) question.options.scheme = models::UnitScheme::kHead;
    if (seed % 7 == 3) {
      question.options.reference = models::ReferenceKind::kMean;
    }
    if (seed % 7 == 4) {
      question.options.position_mode = models::PositionMode::kReindex;
    }
    InlineRunner runner(&backend, question);
    const auto answer = runner.Run(Crystallize(runner.state()));
    ASSERT_TRUE(answer.ok()) << answer.status();
    if (answer->verdict == Verdict::kUnstable) continue;
    ++num_answers;
    ASSERT_TRUE(answer->certificate.has_value());
    ExpectOneMinimal(backend, runner.state(), *answer);
  }
  EXPECT_GT(num_answers, 40);
}

// Restarts and exchanges only ever make S smaller, and sometimes do.
TEST(Improve, NeverGivesALargerSet) {
  int num_smaller = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    models::FakeBackendOptions options = ToyOptions(seed);
    options.num_neurons = 24;
    size_t sizes[2] = {0, 0};
    for (const bool improve : {false, true}) {
      models::FakeBackend backend(options);
      Question question = QuestionOf(seed, Mode::kSufficient);
      question.options.improvement_rounds = improve ? 8 : 0;
      InlineRunner runner(&backend, question);
      const auto answer = runner.Run(Crystallize(runner.state()));
      ASSERT_TRUE(answer.ok()) << answer.status();
      sizes[improve] = answer->units.size();
      size_t smallest = backend.units().size();
      for (const Event& event : runner.events()) {
        if (event.phase != Phase::kImprovement) continue;
        EXPECT_LT(event.units.size(), smallest);
        smallest = event.units.size();
      }
    }
    EXPECT_LE(sizes[true], sizes[false]) << "seed " << seed;
    num_smaller += sizes[true] < sizes[false];
  }
  EXPECT_GT(num_smaller, 0);
}

// A restart alone: the present set is kept where another order's is no smaller.
TEST(Improve, RestartsFromEveryOrder) {
  int num_smaller = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    models::FakeBackendOptions options = ToyOptions(seed);
    options.num_neurons = 30;
    models::FakeBackend backend(options);
    Question question = QuestionOf(seed, Mode::kSufficient);
    question.options.improvement_rounds = 100;
    InlineRunner runner(&backend, question);
    Case* c = runner.state();
    if (!*runner.Run(Baseline(c))) continue;
    // Pruned in a bad order, and better ones to restart from.
    std::vector<int32_t> order = Shuffled(c->candidates, seed);
    Verified start;
    start.restriction.units = c->AllUnits();
    start.restriction.positions = c->AllPositions();
    start.margin = c->margin_full;
    const auto pruned = runner.Run(Shrink(c, start, order, Axis::kUnits));
    ASSERT_TRUE(pruned.ok());
    c->orders = *runner.Run(ScoreUnits(c, c->AllPositions(), kManyScoreRows));
    const auto improved = runner.Run(Improve(c, *pruned));
    ASSERT_TRUE(improved.ok());
    const int before = pruned->restriction.units.Count();
    const int after = improved->restriction.units.Count();
    EXPECT_LE(after, before);
    EXPECT_GT(Margin(backend, *c, improved->restriction), c->required_margin);
    EXPECT_EQ(c->best, improved->restriction);
    EXPECT_FALSE(c->trying);
    num_smaller += after < before;
  }
  EXPECT_GT(num_smaller, 10);
}

// No restriction is measured twice but for the canonical rows.
TEST(Judge, AsksOnceAndRemembers) {
  models::FakeBackend backend(ToyOptions(4));
  InlineRunner runner(&backend, QuestionOf(4, Mode::kSufficient));
  Case* c = runner.state();
  ASSERT_TRUE(*runner.Run(Baseline(c)));
  Restriction everything;
  everything.units = c->AllUnits();
  everything.positions = c->AllPositions();
  std::vector<Restriction> asked;
  for (const int32_t id : c->candidates) {
    asked.push_back(Without(everything, Axis::kUnits, id));
    asked.push_back(asked.back());
  }
  const int64_t before = backend.counters().rows;
  const auto first = runner.Run(Judge(c, asked));
  ASSERT_TRUE(first.ok());
  const int64_t between = backend.counters().rows;
  EXPECT_EQ(between - before, static_cast<int64_t>(c->candidates.size()));
  const auto second = runner.Run(Judge(c, asked));
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(backend.counters().rows, between);
  for (size_t i = 0; i < asked.size(); ++i) {
    EXPECT_EQ((*first)[i].margin, (*second)[i].margin);
    EXPECT_EQ((*first)[i].passes, (*second)[i].passes);
    EXPECT_NEAR((*first)[i].margin, Margin(backend, *c, asked[i]), 1e-5);
  }
  // Where margins are compared, all come from one batch of their own.
  ASSERT_TRUE(runner.Run(Judge(c, asked, schedule::Sharing::kApart)).ok());
  EXPECT_EQ(backend.counters().rows - between,
            static_cast<int64_t>(c->candidates.size()));
}

// Every phase's outcomes change the digest.
TEST(Decisions, AreOfEveryPhase) {
  for (const Mode mode : {Mode::kSufficient, Mode::kGrounded}) {
    std::string letters;
    for (uint64_t seed = 1; seed <= 12; ++seed) {
      models::FakeBackendOptions options = ToyOptions(seed);
      options.num_neurons = 24;
      models::FakeBackend backend(options);
      InlineRunner runner(&backend, QuestionOf(seed, mode));
      ASSERT_TRUE(runner.Run(Crystallize(runner.state())).ok());
      letters += runner.state()->decisions();
    }
    const std::string want = mode == Mode::kSufficient ? "autpsr" : "utpsrhc";
    for (const char letter : want) {
      EXPECT_NE(letters.find(letter), std::string::npos) << letter;
    }
  }
}

// Everything an event says is true.
TEST(Crystallize, TellsOnlyVerifiedSets) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const Mode mode = seed % 2 == 0 ? Mode::kSufficient : Mode::kGrounded;
    models::FakeBackend backend(ToyOptions(seed));
    InlineRunner runner(&backend, QuestionOf(seed, mode));
    Case* c = runner.state();
    const auto answer = runner.Run(Crystallize(c));
    ASSERT_TRUE(answer.ok());
    int64_t sequence = 0;
    for (const Event& event : runner.events()) {
      EXPECT_EQ(event.sequence, ++sequence);
      Restriction restriction;
      restriction.units = models::IndexSet(backend.units().size(), event.units);
      restriction.positions =
          models::IndexSet(c->num_tokens(), event.positions);
      EXPECT_NEAR(Margin(backend, *c, restriction), event.margin, 1e-5);
      EXPECT_GT(event.margin, c->tau_acc);
    }
    if (answer->verdict == Verdict::kUnstable) continue;
    ASSERT_FALSE(runner.events().empty());
    EXPECT_EQ(runner.events().back().units, answer->units);
    EXPECT_EQ(runner.events().back().positions, answer->positions);
  }
}

// The model's word on a prompt, by its public prediction.
bool FullSays(models::FakeBackend& backend,
              const std::vector<models::TokenId>& tokens,
              models::TokenId target) {
  return backend.Predict(tokens, 1)->back().top.front().token == target;
}

TEST(Precision, EqualsDirectSampling) {
  models::FakeBackend backend(ToyOptions(5));
  InlineRunner runner(&backend, QuestionOf(5, Mode::kGrounded));
  Case* c = runner.state();
  ASSERT_TRUE(*runner.Run(Baseline(c)));
  auto samples = std::make_shared<const Samples>(
      DrawReplacements(*c, Draw::kHeldOutSamples, 200));
  std::vector<models::IndexSet> sets;
  std::vector<int> direct;
  for (uint32_t bits = 0; bits < 64; ++bits) {
    models::IndexSet set(7);
    set.Insert(6);
    for (int t = 0; t < 6; ++t) {
      if ((bits >> t) & 1) set.Insert(t);
    }
    int count = 0;
    for (const auto& replacement : *samples) {
      std::vector<models::TokenId> tokens = replacement;
      for (int t = 0; t < 7; ++t) {
        if (set.Contains(t)) tokens[t] = c->tokens()[t];
      }
      count += FullSays(backend, tokens, c->prompt->target);
    }
    sets.push_back(set);
    direct.push_back(count);
  }
  const auto counts = runner.Run(CountSaying(c, sets, samples, 0, 200));
  ASSERT_TRUE(counts.ok());
  EXPECT_EQ(*counts, direct);
  for (const double threshold : {0.5, 0.8, 0.9, 0.95}) {
    const auto reach = runner.Run(ReachPrecision(c, sets, samples, threshold));
    ASSERT_TRUE(reach.ok());
    for (size_t i = 0; i < sets.size(); ++i) {
      EXPECT_EQ((*reach)[i], direct[i] / 200.0 >= threshold) << i;
    }
  }
}

TEST(Precision, ReplacementsComeFromTheSameRelativePlace) {
  models::FakeBackendOptions options = ToyOptions(3);
  // Token 1 is always first, and nowhere else.
  for (auto& prompt : options.reference_prompts) {
    std::fill(prompt.begin(), prompt.end(), 3);
    prompt.front() = 1;
  }
  models::FakeBackend backend(options);
  InlineRunner runner(&backend, QuestionOf(3, Mode::kGrounded));
  for (const auto& replacement :
       DrawReplacements(*runner.state(), Draw::kFreshSamples, 50)) {
    EXPECT_EQ(replacement.front(), 1);
    EXPECT_EQ(std::count(replacement.begin() + 2, replacement.end(), 3), 5);
  }
}

TEST(Grounded, KeepsItsPromisesByDirectSampling) {
  int num_contrasts = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    models::FakeBackend backend(ToyOptions(seed));
    InlineRunner runner(&backend, QuestionOf(seed, Mode::kGrounded));
    Case* c = runner.state();
    const auto answer = runner.Run(Crystallize(c));
    ASSERT_TRUE(answer.ok());
    if (answer->verdict == Verdict::kUnstable) continue;
    const Certificate& certificate = *answer->certificate;
    EXPECT_GE(certificate.margin, 0.5 * certificate.margin_full - 1e-4);
    const auto precision = [&](const std::vector<int32_t>& positions) {
      int count = 0;
      for (std::vector<models::TokenId> tokens : certificate.replacements) {
        for (const int32_t t : positions) tokens[t] = certificate.tokens[t];
        count += FullSays(backend, tokens, certificate.target);
      }
      return count / 256.0;
    };
    EXPECT_GE(precision(answer->positions), 0.9);
    for (size_t i = 0; i + 1 < answer->positions.size(); ++i) {
      const double stated = certificate.position_deletion_precisions[i];
      if (stated < 0) {
        EXPECT_LE(certificate.position_deletion_margins[i],
                  certificate.required_margin);
        continue;
      }
      std::vector<int32_t> fewer = answer->positions;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
      EXPECT_EQ(precision(fewer), stated);
      EXPECT_LT(stated, 0.9);
    }
    if (certificate.contrast_threshold == 0) continue;
    ++num_contrasts;
    Restriction found;
    found.units = models::IndexSet(backend.units().size(), answer->units);
    found.positions = models::IndexSet(7, answer->positions);
    int others = 0;
    for (const auto& control : certificate.controls) {
      EXPECT_FALSE(FullSays(backend, control, certificate.target));
      auto prompt = std::make_shared<models::Prompt>(*c->prompt);
      prompt->tokens = control;
      others += *backend.EvaluateExactly(c->ControlRow(prompt, found)) <= 0;
    }
    EXPECT_GE(others, 0.8 * certificate.controls.size());
  }
  EXPECT_GT(num_contrasts, 2);
}

TEST(Crystallize, ReachesEveryVerdict) {
  const auto ask = [](const Question& question, uint64_t seed) {
    models::FakeBackend backend(ToyOptions(seed));
    InlineRunner runner(&backend, question);
    return runner.Run(Crystallize(runner.state()));
  };
  Question question = QuestionOf(6, Mode::kSufficient);
  const auto crystallized = ask(question, 6);
  ASSERT_TRUE(crystallized.ok());
  EXPECT_EQ(crystallized->verdict, Verdict::kCrystallized);

  Question distributed = question;
  distributed.options.sparse_fraction = 0.01;
  const auto many = ask(distributed, 6);
  ASSERT_TRUE(many.ok());
  EXPECT_EQ(many->verdict, Verdict::kDistributed);
  EXPECT_FALSE(many->margin_curve.empty());
  EXPECT_TRUE(many->certificate.has_value());

  Question unstable = question;
  unstable.target = (crystallized->target + 1) % 24;
  const auto none = ask(unstable, 6);
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->verdict, Verdict::kUnstable);
  EXPECT_LT(none->margin_full, 0);
  EXPECT_TRUE(none->units.empty());

  Question poor = question;
  poor.options.max_rows = 30;
  const auto exhausted = ask(poor, 6);
  ASSERT_TRUE(exhausted.ok());
  EXPECT_EQ(exhausted->verdict, Verdict::kBudgetExhausted);
  EXPECT_LE(exhausted->effort.rows + exhausted->effort.gradient_rows, 30);
  EXPECT_FALSE(exhausted->units.empty());
  EXPECT_GT(exhausted->margin, 0);

  bool prior = false;
  for (uint64_t seed = 1; seed <= 40 && !prior; ++seed) {
    const auto answer = ask(QuestionOf(seed, Mode::kSufficient, 3), seed);
    ASSERT_TRUE(answer.ok());
    if (answer->verdict != Verdict::kPrior) continue;
    prior = true;
    EXPECT_TRUE(answer->units.empty());
    EXPECT_EQ(answer->positions.size(), 1u);
    EXPECT_EQ(answer->margin, answer->margin_empty);
  }
  EXPECT_TRUE(prior);
}

TEST(Crystallize, KeepsWithinEveryRowBudget) {
  for (int64_t max_rows = 1; max_rows < 900; max_rows = max_rows * 3 / 2 + 1) {
    models::FakeBackend backend(ToyOptions(2));
    Question question = QuestionOf(2, Mode::kSufficient);
    question.options.max_rows = max_rows;
    InlineRunner runner(&backend, question);
    const auto answer = runner.Run(Crystallize(runner.state()));
    ASSERT_TRUE(answer.ok()) << answer.status();
    const models::FakeCounters counters = backend.counters();
    EXPECT_LE(counters.rows + counters.gradient_rows, max_rows);
    if (answer->certificate.has_value()) {
      EXPECT_EQ(answer->verdict, Verdict::kCrystallized);
    } else {
      EXPECT_EQ(answer->verdict, Verdict::kBudgetExhausted);
    }
  }
}

TEST(Crystallize, StopsImprovingAtTheTarget) {
  models::FakeBackendOptions options = ToyOptions(8);
  options.num_neurons = 60;
  models::FakeBackend backend(options);
  Question question = QuestionOf(8, Mode::kSufficient);
  question.options.target_units = 60;
  InlineRunner runner(&backend, question);
  const auto answer = runner.Run(Crystallize(runner.state()));
  ASSERT_TRUE(answer.ok());
  for (const Event& event : runner.events()) {
    EXPECT_NE(event.phase, Phase::kImprovement);
  }
}

}  // namespace
}  // namespace spar::search
