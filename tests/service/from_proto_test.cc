#include "server/service/from_proto.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "base/status.h"
#include "server/service/limits.h"
#include "tests/service/served_model.h"

namespace spar::service {
namespace {

using Tokens = std::vector<models::TokenId>;

void ExpectBad(const absl::Status& status,
               const std::string& reason,
               const std::string& field) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  const auto detail = base::DetailOf(status);
  ASSERT_TRUE(detail.has_value()) << status;
  EXPECT_EQ(detail->reason, reason) << status;
  EXPECT_EQ(detail->field, field) << status;
}

v1::Prompt TextPrompt(const std::string& text) {
  v1::Prompt prompt;
  prompt.set_text(text);
  return prompt;
}

v1::Prompt TokenPrompt(const Tokens& tokens) {
  v1::Prompt prompt;
  prompt.mutable_tokens();
  for (const models::TokenId token : tokens) {
    prompt.mutable_tokens()->add_ids(token);
  }
  return prompt;
}

class FromProto : public ::testing::Test {
 protected:
  testing::ScriptedExplainer* explainer_ = nullptr;
  const ServedModel model_ = testing::MakeServedModel("toy", &explainer_);
};

TEST_F(FromProto, ReadsPromptsOfTextAndOfTokens) {
  EXPECT_EQ(*TokensFromProto(TextPrompt("t3 t7 t0"), model_),
            (Tokens{3, 7, 0}));
  EXPECT_EQ(*TokensFromProto(TokenPrompt({3, 23}), model_), (Tokens{3, 23}));
}

TEST_F(FromProto, RecognisesSpecialTokensUnlessToldNotTo) {
  v1::Prompt prompt = TextPrompt("<end> t1");
  EXPECT_EQ(*TokensFromProto(prompt, model_), (Tokens{0, 1}));
  prompt.set_ignore_special_tokens(true);
  ExpectBad(TokensFromProto(prompt, model_).status(), "UNENCODABLE_TEXT",
            "prompt.text");
}

TEST_F(FromProto, RefusesPromptsWithoutTokens) {
  ExpectBad(TokensFromProto(v1::Prompt(), model_).status(), "EMPTY_PROMPT",
            "prompt");
  ExpectBad(TokensFromProto(TextPrompt(""), model_).status(), "EMPTY_PROMPT",
            "prompt");
  ExpectBad(TokensFromProto(TokenPrompt({}), model_).status(), "EMPTY_PROMPT",
            "prompt");
}

TEST_F(FromProto, RefusesPromptsThatTheModelCannotRead) {
  EXPECT_TRUE(TokensFromProto(TokenPrompt(Tokens(32, 1)), model_).ok());
  ExpectBad(TokensFromProto(TokenPrompt(Tokens(33, 1)), model_).status(),
            "PROMPT_TOO_LONG", "prompt");
  ExpectBad(TokensFromProto(TokenPrompt({1, 2, 24}), model_).status(),
            "TOKEN_OUT_OF_RANGE", "prompt.tokens.ids[2]");
  ExpectBad(TokensFromProto(TokenPrompt({-1}), model_).status(),
            "TOKEN_OUT_OF_RANGE", "prompt.tokens.ids[0]");
  // A tokenizer may know more tokens than its model.
  ExpectBad(TokensFromProto(TextPrompt("t24"), model_).status(),
            "TOKEN_OUT_OF_RANGE", "prompt.text");
  ExpectBad(
      TokensFromProto(TextPrompt(std::string(kMaxTextBytes + 1, ' ')), model_)
          .status(),
      "TEXT_TOO_LONG", "prompt.text");
  ExpectBad(TokensFromProto(TextPrompt("what"), model_).status(),
            "UNENCODABLE_TEXT", "prompt.text");
}

TEST_F(FromProto, ReadsTheTarget) {
  v1::CrystallizeRequest request;
  *request.mutable_prompt() = TokenPrompt({1});
  EXPECT_FALSE(QuestionFromProto(request, model_)->target.has_value());
  request.set_target_id(0);
  EXPECT_EQ(QuestionFromProto(request, model_)->target, 0);
  request.set_target_text("t5");
  EXPECT_EQ(QuestionFromProto(request, model_)->target, 5);
}

TEST_F(FromProto, RefusesTargetsThatAreNotOneToken) {
  v1::CrystallizeRequest request;
  *request.mutable_prompt() = TokenPrompt({1});
  const auto expect = [&](const char* reason, const char* field) {
    ExpectBad(QuestionFromProto(request, model_).status(), reason, field);
  };
  request.set_target_id(24);
  expect("TOKEN_OUT_OF_RANGE", "target_id");
  request.set_target_id(-1);
  expect("TOKEN_OUT_OF_RANGE", "target_id");
  request.set_target_text("t1 t2");
  expect("NOT_ONE_TOKEN", "target_text");
  request.set_target_text("");
  expect("NOT_ONE_TOKEN", "target_text");
  request.set_target_text("what");
  expect("UNENCODABLE_TEXT", "target_text");
  request.set_target_text("t24");
  expect("TOKEN_OUT_OF_RANGE", "target_text");
  request.set_target_text(std::string(kMaxTextBytes + 1, ' '));
  expect("TEXT_TOO_LONG", "target_text");
}

TEST_F(FromProto, TakesTheDocumentedDefaults) {
  const auto options = OptionsFromProto(v1::CrystallizeOptions());
  ASSERT_TRUE(options.ok());
  const search::CrystallizeOptions defaults;
  EXPECT_EQ(options->mode, search::Mode::kGrounded);
  EXPECT_EQ(options->scheme, models::UnitScheme::kHeadAndNeuron);
  EXPECT_EQ(options->reference, models::ReferenceKind::kZero);
  EXPECT_EQ(options->position_mode, models::PositionMode::kKeepIds);
  EXPECT_EQ(options->tau, 1e-3);
  EXPECT_FALSE(options->pin_first);
  EXPECT_EQ(options->precision_threshold, 0.9);
  EXPECT_EQ(options->margin_share, 0.5);
  EXPECT_EQ(options->contrast_threshold, 0.8);
  EXPECT_EQ(options->sparse_fraction, 0.1);
  EXPECT_EQ(options->max_rows, 0);
  EXPECT_EQ(options->max_seconds, 0);
  EXPECT_EQ(options->target_units, 0);
  EXPECT_EQ(options->improvement_rounds, 4);
  EXPECT_EQ(options->attack_steps, 0);
  EXPECT_EQ(options->attack_step_size, 0.1);
  EXPECT_EQ(options->attack_restarts, 4);
  EXPECT_EQ(options->seed, 0u);
  EXPECT_EQ(defaults.improvement_rounds, 4);
}

TEST_F(FromProto, ReadsEveryOption) {
  v1::CrystallizeOptions from;
  from.set_mode(v1::MODE_SUFFICIENT);
  from.set_unit_scheme(v1::UNIT_SCHEME_NEURON);
  from.set_reference(v1::REFERENCE_MEAN);
  from.set_position_mode(v1::POSITION_MODE_REINDEX);
  from.set_tau(0);
  from.set_pin_first(true);
  from.set_precision_threshold(0.5);
  from.set_margin_share(0);
  from.set_contrast_threshold(1);
  from.set_sparse_fraction(1);
  from.set_max_row_count(7);
  from.mutable_max_duration()->set_seconds(2);
  from.mutable_max_duration()->set_nanos(500'000'000);
  from.set_target_unit_count(3);
  from.set_improvement_round_count(0);
  from.set_seed(42);
  from.set_attack_step_count(1000);
  from.set_attack_step_size(1);
  from.set_attack_restart_count(64);
  const auto to = OptionsFromProto(from);
  ASSERT_TRUE(to.ok()) << to.status();
  EXPECT_EQ(to->mode, search::Mode::kSufficient);
  EXPECT_EQ(to->scheme, models::UnitScheme::kNeuron);
  EXPECT_EQ(to->reference, models::ReferenceKind::kMean);
  EXPECT_EQ(to->position_mode, models::PositionMode::kReindex);
  EXPECT_EQ(to->tau, 0);
  EXPECT_TRUE(to->pin_first);
  EXPECT_EQ(to->precision_threshold, 0.5);
  EXPECT_EQ(to->margin_share, 0);
  EXPECT_EQ(to->contrast_threshold, 1);
  EXPECT_EQ(to->sparse_fraction, 1);
  EXPECT_EQ(to->max_rows, 7);
  EXPECT_DOUBLE_EQ(to->max_seconds, 2.5);
  EXPECT_EQ(to->target_units, 3);
  EXPECT_EQ(to->improvement_rounds, 0);
  EXPECT_EQ(to->seed, 42u);
  EXPECT_EQ(to->attack_steps, 1000);
  EXPECT_EQ(to->attack_step_size, 1);
  EXPECT_EQ(to->attack_restarts, 64);
}

struct BadOption {
  std::string field = {};
  std::function<void(v1::CrystallizeOptions*)> set = {};
};

TEST_F(FromProto, RefusesEveryOptionOutOfItsRange) {
  using Options = v1::CrystallizeOptions;
  const double nan = std::nan("");
  const double inf = std::numeric_limits<double>::infinity();
  std::vector<BadOption> bad = {
      {"mode", [](Options* o) { o->set_mode(static_cast<v1::Mode>(3)); }},
      {"mode", [](Options* o) { o->set_mode(static_cast<v1::Mode>(-1)); }},
      {"unit_scheme",
       [](Options* o) {
         o->set_unit_scheme(
             static_cast<v1::UnitScheme>(v1::UnitScheme_MAX + 1));
       }},
      {"reference",
       [](Options* o) { o->set_reference(static_cast<v1::Reference>(9)); }},
      {"position_mode",
       [](Options* o) {
         o->set_position_mode(static_cast<v1::PositionMode>(3));
       }},
      {"max_row_count", [](Options* o) { o->set_max_row_count(-1); }},
      {"target_unit_count", [](Options* o) { o->set_target_unit_count(-1); }},
      {"improvement_round_count",
       [](Options* o) { o->set_improvement_round_count(-1); }},
      {"improvement_round_count",
       [](Options* o) { o->set_improvement_round_count(101); }},
      {"seed", [](Options* o) { o->set_seed(-1); }},
      {"attack_step_count", [](Options* o) { o->set_attack_step_count(-1); }},
      {"attack_step_count", [](Options* o) { o->set_attack_step_count(1001); }},
      {"attack_restart_count",
       [](Options* o) { o->set_attack_restart_count(0); }},
      {"attack_restart_count",
       [](Options* o) { o->set_attack_restart_count(65); }},
  };
  for (const double value : {-0.001, 100.001, nan, inf, -inf}) {
    bad.push_back({"tau", [=](Options* o) { o->set_tau(value); }});
  }
  for (const double value : {0.499, 1.001, nan, inf, -inf}) {
    bad.push_back({"precision_threshold",
                   [=](Options* o) { o->set_precision_threshold(value); }});
  }
  for (const double value : {-0.001, 1.001, nan, inf, -inf}) {
    bad.push_back(
        {"margin_share", [=](Options* o) { o->set_margin_share(value); }});
    bad.push_back({"contrast_threshold",
                   [=](Options* o) { o->set_contrast_threshold(value); }});
  }
  for (const double value : {0.0, -0.1, 1.001, nan, inf, -inf}) {
    bad.push_back({"sparse_fraction",
                   [=](Options* o) { o->set_sparse_fraction(value); }});
    bad.push_back({"attack_step_size",
                   [=](Options* o) { o->set_attack_step_size(value); }});
  }
  for (const BadOption& option : bad) {
    Options options;
    option.set(&options);
    ExpectBad(OptionsFromProto(options).status(), "OPTION_OUT_OF_RANGE",
              "options." + option.field);
  }
}

TEST_F(FromProto, RefusesDurationsThatAreNoBudget) {
  const std::pair<int64_t, int32_t> bad[] = {
      {0, 0},
      {-1, 0},
      {0, -1},
      {1, -1},
      {0, 1'000'000'000},
      {kMaxSearchSeconds, 1},
      {kMaxSearchSeconds + 1, 0},
      {std::numeric_limits<int64_t>::max(), 0},
      {std::numeric_limits<int64_t>::min(), 0},
      {1, std::numeric_limits<int32_t>::min()},
  };
  for (const auto& [seconds, nanos] : bad) {
    v1::CrystallizeOptions options;
    options.mutable_max_duration()->set_seconds(seconds);
    options.mutable_max_duration()->set_nanos(nanos);
    ExpectBad(OptionsFromProto(options).status(), "OPTION_OUT_OF_RANGE",
              "options.max_duration");
  }
  v1::CrystallizeOptions options;
  options.mutable_max_duration()->set_seconds(kMaxSearchSeconds);
  EXPECT_TRUE(OptionsFromProto(options).ok());
}

TEST_F(FromProto, BoundsWhatAPredictionReturns) {
  v1::PredictRequest request;
  EXPECT_EQ(*TopKFromProto(request, 1), kDefaultTopK);
  request.set_top_k(kMaxTopK);
  EXPECT_EQ(*TopKFromProto(request, 1), kMaxTopK);
  EXPECT_EQ(*TopKFromProto(request, 1'000'000), kMaxTopK);
  for (const int top_k : {-1, kMaxTopK + 1}) {
    request.set_top_k(top_k);
    ExpectBad(TopKFromProto(request, 1).status(), "TOP_K_OUT_OF_RANGE",
              "top_k");
  }
  request.set_top_k(kMaxTopK);
  request.set_every_position(true);
  EXPECT_TRUE(TopKFromProto(request, kMaxTokenScores / kMaxTopK).ok());
  ExpectBad(TopKFromProto(request, kMaxTokenScores / kMaxTopK + 1).status(),
            "TOP_K_OUT_OF_RANGE", "top_k");
}

TEST_F(FromProto, ReadsPages) {
  v1::ListModelsRequest request;
  EXPECT_EQ(PageFromProto(request.page_size(), request.page_token())->size,
            50u);
  EXPECT_EQ(PageFromProto(request.page_size(), request.page_token())->after,
            "");
  request.set_page_size(1'000'000);
  EXPECT_EQ(PageFromProto(request.page_size(), request.page_token())->size,
            1'000u);
  request.set_page_token(PageTokenAfter("a-1.b_2"));
  EXPECT_EQ(PageFromProto(request.page_size(), request.page_token())->after,
            "a-1.b_2");
  request.set_page_size(-1);
  ExpectBad(PageFromProto(request.page_size(), request.page_token()).status(),
            "PAGE_SIZE_OUT_OF_RANGE", "page_size");
}

TEST_F(FromProto, RefusesPageTokensThatItNeverGave) {
  for (const std::string& token :
       {std::string("x"), std::string("a"), std::string("zz"), std::string("4"),
        PageTokenAfter("UPPER"), PageTokenAfter("a") + "f",
        PageTokenAfter(std::string(65, 'a'))}) {
    v1::ListModelsRequest request;
    request.set_page_token(token);
    ExpectBad(PageFromProto(request.page_size(), request.page_token()).status(),
              "BAD_PAGE_TOKEN", "page_token");
  }
}

}  // namespace
}  // namespace spar::service
