#include "server/search/explainer.h"

#include <functional>
#include <limits>
#include <memory>
#include <string>

#include "gtest/gtest.h"

#include "base/status.h"
#include "server/search/certificate.h"
#include "tests/search/search_testing.h"

namespace spar::search {
namespace {

constexpr uint64_t kModelSeed = 4;

Question AQuestion(uint64_t seed, Mode mode) {
  Question question;
  question.tokens = RandomTokens(seed, 7, 24);
  question.options.mode = mode;
  question.options.sparse_fraction = 1;
  return question;
}

struct Model {
  models::FakeBackend* backend = nullptr;  // owned by the explainer
  std::unique_ptr<Explainer> explainer = nullptr;
};

Model MakeModel(const models::FakeBackendOptions& options,
                const ExplainerOptions& explainer_options = {}) {
  Model model;
  auto backend = std::make_unique<models::FakeBackend>(options);
  model.backend = backend.get();
  model.explainer = Explainer::Make(std::move(backend), explainer_options);
  return model;
}

// Everything of an answer that must not depend on the load.
std::string Bytes(const Explanation& answer) {
  std::string text =
      base::Cat(static_cast<int>(answer.verdict), " ", answer.margin, " ",
                answer.margin_full, " ", answer.margin_empty, " ");
  for (const Estimate& estimate : {answer.precision, answer.contrast}) {
    text += base::Cat(estimate.value, " of ", estimate.num_samples, " ");
  }
  for (const int32_t unit : answer.units) text += base::Cat("u", unit);
  for (const int32_t t : answer.positions) text += base::Cat("t", t);
  text += base::Cat(" ", answer.remark, answer.effort.rows, " ",
                    answer.effort.gradient_rows, " ", answer.effort.rounds);
  if (answer.certificate.has_value()) {
    text += CertificateToJson(*answer.certificate);
  }
  return text;
}

TEST(Explainer, TenSearchesAtOnceShareBatchesAndAnswerAsAlone) {
  models::FakeBackendOptions options = ToyOptions(kModelSeed);
  options.batch_noise = 0.9 * options.noise_floor;
  const auto question_of = [](int i) {
    return AQuestion(i, i % 5 == 0 ? Mode::kGrounded : Mode::kSufficient);
  };
  std::vector<std::string> alone;
  const Model one = MakeModel(options);
  for (int i = 0; i < 10; ++i) {
    const auto answer = AskAndWait(*one.explainer, question_of(i));
    ASSERT_TRUE(answer.ok()) << answer.status();
    alone.push_back(Bytes(*answer));
  }
  const BatchCounters apart = one.explainer->batch_counters();

  ExplainerOptions patient;
  patient.batch_window_micros = 20'000;
  const Model many = MakeModel(options, patient);
  many.backend->Hold();
  std::vector<Asked> asked(10);
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(
        many.explainer
            ->Start(question_of(i), asked[i].OnEvent(), asked[i].OnDone())
            .ok());
  }
  many.backend->Release();
  for (int i = 0; i < 10; ++i) {
    const auto answer = asked[i].Result();
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(Bytes(*answer), alone[i]) << i;
  }
  const BatchCounters together = many.explainer->batch_counters();
  EXPECT_EQ(together.rows, apart.rows);
  EXPECT_LT(together.batches, apart.batches);
  EXPECT_EQ(together.batches, together.flushed_full + together.flushed_window +
                                  together.flushed_idle);
}

TEST(Explainer, TwoBackendsGiveTheAnswersOfOne) {
  models::FakeBackendOptions options = ToyOptions(kModelSeed);
  options.batch_noise = 0.9 * options.noise_floor;
  const Model one = MakeModel(options);
  std::vector<std::unique_ptr<models::Backend>> two;
  two.push_back(std::make_unique<models::FakeBackend>(options));
  two.push_back(std::make_unique<models::FakeBackend>(options));
  const auto explainer = Explainer::Make(std::move(two), {});
  std::vector<Asked> asked(10);
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(explainer
                    ->Start(AQuestion(i, Mode::kSufficient), asked[i].OnEvent(),
                            asked[i].OnDone())
                    .ok());
  }
  for (int i = 0; i < 10; ++i) {
    const auto alone =
        AskAndWait(*one.explainer, AQuestion(i, Mode::kSufficient));
    const auto answer = asked[i].Result();
    ASSERT_TRUE(alone.ok()) << alone.status();
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(Bytes(*answer), Bytes(*alone)) << i;
  }
}

TEST(Explainer, AnswersTheSameQuestionWithTheSameBytes) {
  for (const Mode mode : {Mode::kSufficient, Mode::kGrounded}) {
    std::string first;
    for (int i = 0; i < 2; ++i) {
      const Model model = MakeModel(ToyOptions(kModelSeed));
      const auto answer = AskAndWait(*model.explainer, AQuestion(2, mode));
      ASSERT_TRUE(answer.ok());
      if (i == 0) first = Bytes(*answer);
      EXPECT_EQ(Bytes(*answer), first);
    }
  }
}

TEST(Explainer, ACancelledSearchIsGoneAfterTheBatchInFlight) {
  const Model model = MakeModel(ToyOptions(kModelSeed));
  model.backend->Hold();
  Asked asked;
  const auto id = model.explainer->Start(AQuestion(1, Mode::kGrounded),
                                         asked.OnEvent(), asked.OnDone());
  ASSERT_TRUE(id.ok());
  model.backend->AwaitHeld();
  model.explainer->Cancel(*id);
  model.explainer->Cancel(*id);
  model.explainer->Cancel(12345);
  // It ends before the device does.
  EXPECT_EQ(asked.Result().status().code(), absl::StatusCode::kCancelled);
  model.backend->Release();
  const auto next =
      AskAndWait(*model.explainer, AQuestion(1, Mode::kSufficient));
  ASSERT_TRUE(next.ok());
  const models::FakeCounters counters = model.backend->counters();
  EXPECT_EQ(counters.rows + counters.gradient_rows,
            1 + next->effort.rows + next->effort.gradient_rows);
  model.explainer->Cancel(*id);
}

TEST(Explainer, ItsDestructorCancelsWhatIsLive) {
  Model model = MakeModel(ToyOptions(kModelSeed));
  model.backend->Hold();
  std::vector<Asked> asked(5);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(model.explainer
                    ->Start(AQuestion(i, Mode::kGrounded), asked[i].OnEvent(),
                            asked[i].OnDone())
                    .ok());
  }
  model.backend->AwaitHeld();
  Awaited<absl::StatusOr<std::vector<models::PositionPrediction>>> prediction;
  model.explainer->Predict(
      {1, 2}, 1, [&](auto result) { prediction.Set(std::move(result)); });
  model.backend->Release();
  model.explainer.reset();
  for (Asked& each : asked) {
    EXPECT_EQ(each.Result().status().code(), absl::StatusCode::kCancelled);
  }
  prediction.Get().IgnoreError();  // came, one way or the other
}

TEST(Explainer, RefusesMoreSearchesThanItMayRun) {
  ExplainerOptions options;
  options.max_searches = 2;
  const Model model = MakeModel(ToyOptions(kModelSeed), options);
  model.backend->Hold();
  std::vector<Asked> asked(3);
  for (int i = 0; i < 3; ++i) {
    const auto id = model.explainer->Start(
        AQuestion(i, Mode::kSufficient), asked[i].OnEvent(), asked[i].OnDone());
    EXPECT_EQ(id.ok(), i < 2);
    if (i == 2) {
      EXPECT_EQ(id.status().code(), absl::StatusCode::kResourceExhausted);
      EXPECT_EQ(base::DetailOf(id.status())->reason, "TOO_MANY_SEARCHES");
    }
  }
  model.backend->Release();
  EXPECT_TRUE(asked[0].Result().ok());
  EXPECT_TRUE(asked[1].Result().ok());
}

TEST(Explainer, AFailingRowFailsOneSearchOnly) {
  const Model model = MakeModel(ToyOptions(kModelSeed));
  model.backend->FailRowsWith(23, absl::InternalError("poisoned"));
  Question bad = AQuestion(1, Mode::kSufficient);
  bad.tokens[2] = 23;
  Question good = AQuestion(2, Mode::kSufficient);
  for (auto& token : good.tokens) token %= 23;
  Asked poisoned;
  Asked healthy;
  model.backend->Hold();
  ASSERT_TRUE(
      model.explainer->Start(bad, poisoned.OnEvent(), poisoned.OnDone()).ok());
  ASSERT_TRUE(
      model.explainer->Start(good, healthy.OnEvent(), healthy.OnDone()).ok());
  model.backend->Release();
  EXPECT_EQ(poisoned.Result().status().message(), "poisoned");
  const auto answer = healthy.Result();
  // Its fresh samples may hold the token; its sets do not.
  EXPECT_TRUE(answer.ok() || answer.status().message() == "poisoned");
}

TEST(Explainer, NamesTheFieldThatIsWrong) {
  const Model model = MakeModel(ToyOptions(kModelSeed));
  struct Row {
    std::string field = {};
    std::string reason = {};
    std::function<void(Question&)> spoil = nullptr;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<Row> rows = {
      {"prompt", "EMPTY_PROMPT", [](Question& q) { q.tokens.clear(); }},
      {"prompt", "PROMPT_TOO_LONG", [](Question& q) { q.tokens.resize(33); }},
      {"prompt.tokens[3]", "TOKEN_OUT_OF_RANGE",
       [](Question& q) { q.tokens[3] = 24; }},
      {"prompt.tokens[0]", "TOKEN_OUT_OF_RANGE",
       [](Question& q) { q.tokens[0] = -1; }},
      {"target_id", "TOKEN_OUT_OF_RANGE", [](Question& q) { q.target = 24; }},
      {"options.tau", "OPTION_OUT_OF_RANGE",
       [](Question& q) { q.options.tau = -1; }},
      {"options.tau", "OPTION_OUT_OF_RANGE",
       [nan](Question& q) { q.options.tau = nan; }},
      {"options.precision_threshold", "OPTION_OUT_OF_RANGE",
       [](Question& q) { q.options.precision_threshold = 1.1; }},
      {"options.margin_share", "OPTION_OUT_OF_RANGE",
       [](Question& q) { q.options.margin_share = -0.1; }},
      {"options.contrast_threshold", "OPTION_OUT_OF_RANGE",
       [](Question& q) { q.options.contrast_threshold = 2; }},
      {"options.sparse_fraction", "OPTION_OUT_OF_RANGE",
       [](Question& q) { q.options.sparse_fraction = 0; }},
      {"options.max_rows", "OPTION_OUT_OF_RANGE",
       [](Question& q) { q.options.max_rows = -1; }},
      {"options.max_seconds", "OPTION_OUT_OF_RANGE",
       [](Question& q) { q.options.max_seconds = -1; }},
      {"options.target_units", "OPTION_OUT_OF_RANGE",
       [](Question& q) { q.options.target_units = -1; }},
      {"options.attack_steps", "OPTION_OUT_OF_RANGE",
       [](Question& q) { q.options.attack_steps = -1; }},
      {"options.attack_steps", "OPTION_OUT_OF_RANGE",
       [](Question& q) { q.options.attack_steps = 1001; }},
      {"options.attack_step_size", "OPTION_OUT_OF_RANGE",
       [](Question& q) { q.options.attack_step_size = 0; }},
      {"options.attack_restarts", "OPTION_OUT_OF_RANGE",
       [](Question& q) { q.options.attack_restarts = 0; }},
      {"options.attack_restarts", "OPTION_OUT_OF_RANGE",
       [](Question& q) { q.options.attack_restarts = 65; }},
      {"options.improvement_rounds", "OPTION_OUT_OF_RANGE",
       [](Question& q) { q.options.improvement_rounds = -1; }},
  };
  for (const Row& row : rows) {
    Question question = AQuestion(1, Mode::kSufficient);
    row.spoil(question);
    const auto id = model.explainer->Start(question, nullptr, nullptr);
    ASSERT_FALSE(id.ok()) << row.field;
    EXPECT_EQ(id.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(base::DetailOf(id.status())->field, row.field);
    EXPECT_EQ(base::DetailOf(id.status())->reason, row.reason);
  }
}

TEST(Explainer, SaysWhatNeedsReferencePrompts) {
  const Model model = MakeModel({});
  EXPECT_FALSE(model.explainer->has_reference_prompts());
  Question mean = AQuestion(1, Mode::kSufficient);
  mean.options.reference = models::ReferenceKind::kMean;
  for (const Question& question : {AQuestion(1, Mode::kGrounded), mean}) {
    const auto id = model.explainer->Start(question, nullptr, nullptr);
    EXPECT_EQ(id.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(base::DetailOf(id.status())->reason, "NO_REFERENCE_PROMPTS");
  }
  const auto answer =
      AskAndWait(*model.explainer, AQuestion(1, Mode::kSufficient));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->precision.num_samples, 0);
  EXPECT_FALSE(answer->telling);
  EXPECT_FALSE(answer->remark.empty());
}

TEST(Explainer, PredictsAsTheBackendDoes) {
  const Model model = MakeModel(ToyOptions(kModelSeed));
  models::FakeBackend truth(ToyOptions(kModelSeed));
  Awaited<absl::StatusOr<std::vector<models::PositionPrediction>>> awaited;
  model.explainer->Predict(
      {3, 1, 4}, 2, [&](auto result) { awaited.Set(std::move(result)); });
  const auto got = awaited.Get();
  ASSERT_TRUE(got.ok());
  const std::vector<models::TokenId> tokens = {3, 1, 4};
  const auto want = truth.Predict(tokens, 2);
  ASSERT_EQ(got->size(), 3u);
  EXPECT_EQ((*got)[2].top.size(), 2u);
  EXPECT_EQ((*got)[2].top[0].token, (*want)[2].top[0].token);

  for (const int top_k : {0, 25}) {
    Awaited<absl::Status> refused;
    model.explainer->Predict(
        {3}, top_k, [&](auto result) { refused.Set(result.status()); });
    EXPECT_EQ(base::DetailOf(refused.Get())->reason, "TOP_K_OUT_OF_RANGE");
  }
}

TEST(Explainer, VerifiesItsOwnCertificates) {
  const Model model = MakeModel(ToyOptions(kModelSeed));
  const auto answer =
      AskAndWait(*model.explainer, AQuestion(3, Mode::kGrounded));
  ASSERT_TRUE(answer.ok());
  ASSERT_TRUE(answer->certificate.has_value());
  const std::string json = CertificateToJson(*answer->certificate);
  Awaited<absl::StatusOr<Verification>> awaited;
  model.explainer->Verify(json,
                          [&](auto result) { awaited.Set(std::move(result)); });
  const auto verification = awaited.Get();
  ASSERT_TRUE(verification.ok());
  EXPECT_EQ(verification->verdict, CertificateVerdict::kValid);
  EXPECT_LT(verification->largest_difference, 1e-5);

  Awaited<absl::StatusOr<Verification>> bad;
  model.explainer->Verify("{}", [&](auto result) { bad.Set(result); });
  EXPECT_EQ(base::DetailOf(bad.Get().status())->reason, "BAD_CERTIFICATE");
}

}  // namespace
}  // namespace spar::search
