// DecompositionService.Evaluate over the fake model.
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "models/fake_backend.h"
#include "server/service/limits.h"
#include "server/service/server.h"
#include "spar/v1/decomposition_service.grpc.pb.h"
#include "tests/service/rich_error.h"
#include "tests/service/word_tokenizer.h"

namespace spar::service {
namespace {

// What one call said.
struct EvaluationStream {
  grpc::Status status = {};
  std::vector<v1::EvaluateResponse> messages = {};  // but progress
  std::vector<v1::EvaluationProgress> progress = {};

  std::vector<int> Kinds() const {
    std::vector<int> kinds;
    for (const auto& message : messages)
      kinds.push_back(message.content_case());
    return kinds;
  }
};

class EvaluateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    models::FakeBackendOptions toy;
    toy.decompositions = {"main"};
    toy.num_components = 6;
    ServedModel model;
    model.id = "toy";
    model.tokenizer = testing::MakeWordTokenizer(toy.vocab_size);
    model.explainer =
        search::Explainer::Make(std::make_unique<models::FakeBackend>(toy), {});
    ASSERT_TRUE(registry_.Add(std::move(model)).ok());
    ServerOptions options;
    options.listen = "127.0.0.1:0";
    auto server = Server::Start(&registry_, options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = v1::DecompositionService::NewStub(server_->InProcessChannel());
    request_.set_name("models/toy/decompositions/main");
    AddTokens({3, 7, 1, 9, 2});
    AddTokens({4, 8, 2});
  }

  void TearDown() override { server_ = nullptr; }

  void AddTokens(const std::vector<int>& tokens) {
    request_.add_prompts()->mutable_tokens()->mutable_ids()->Assign(
        tokens.begin(), tokens.end());
  }

  EvaluationStream Evaluate() {
    EvaluationStream answer;
    grpc::ClientContext context;
    const auto stream = stub_->Evaluate(&context, request_);
    v1::EvaluateResponse response;
    while (stream->Read(&response)) {
      if (response.has_progress()) {
        answer.progress.push_back(response.progress());
      } else {
        answer.messages.push_back(response);
      }
    }
    answer.status = stream->Finish();
    return answer;
  }

  void ExpectRefusal(const std::string& reason, const std::string& field) {
    const grpc::Status status = Evaluate().status;
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << status.error_message();
    const testing::RichError error = testing::Decode(status);
    EXPECT_EQ(error.reason, reason) << error.message;
    EXPECT_EQ(error.field, field) << error.message;
  }

  // So much work that no test sees its end.
  void AskForMuch() {
    for (int i = 0; i < 100; ++i) AddTokens({1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
    for (int i = 0; i < 16; ++i) {
      request_.mutable_options()->add_subsets()->add_modules("fake.0.mlp.up");
    }
  }

  ModelRegistry registry_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<v1::DecompositionService::Stub> stub_;
  v1::EvaluateRequest request_;
};

using Response = v1::EvaluateResponse;

TEST_F(EvaluateTest, StreamsHeaderPartsAndSummary) {
  v1::EvaluationOptions& options = *request_.mutable_options();
  v1::EvaluationSubset& subset = *options.add_subsets();
  subset.set_name("late");
  subset.add_modules("fake.1.mlp.up");
  options.mutable_attack();
  const EvaluationStream answer = Evaluate();
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_EQ(
      answer.Kinds(),
      (std::vector<int>{Response::kHeader, Response::kFaithfulness,
                        Response::kSparsity, Response::kModuleSparsity,
                        Response::kModuleSparsity, Response::kReconstruction,
                        Response::kOutputErrors, Response::kOutputErrors,
                        Response::kPatternErrors, Response::kPatternErrors,
                        Response::kSparsityCurve, Response::kReconstruction,
                        Response::kSparsityCurve, Response::kAttackCurve,
                        Response::kAttackCurve, Response::kSummary}));
  ASSERT_FALSE(answer.progress.empty());
  EXPECT_EQ(answer.progress[0].max_step_count(), 4);

  const v1::EvaluationHeader& header = answer.messages[0].header();
  EXPECT_EQ(header.name(), "models/toy/decompositions/main");
  EXPECT_EQ(header.digest().size(), 64u);
  EXPECT_EQ(header.model_digest().size(), 64u);
  ASSERT_EQ(header.modules_size(), 2);
  EXPECT_EQ(header.modules(1).name(), "fake.1.mlp.up");
  EXPECT_EQ(header.modules(1).layer(), 1);
  EXPECT_EQ(header.modules(1).part(), v1::ATTRIBUTION_PART_UP);
  EXPECT_EQ(header.modules(1).subcomponent_count(), 6);
  EXPECT_EQ(header.row_count(), 2);
  EXPECT_EQ(header.token_count(), 8);
  EXPECT_EQ(header.batch_count(), 1);
  EXPECT_EQ(header.options().alive_mean_importance(), 1e-6);
  EXPECT_EQ(header.options().sample_count(), 1);
  EXPECT_EQ(header.options().sweep_thresholds_size(), 8);
  EXPECT_EQ(header.options().subsets(0).name(), "late");
  EXPECT_EQ(header.options().subsets(0).modules(0), "fake.1.mlp.up");
  EXPECT_EQ(header.options().attack().step_counts_size(), 4);
  EXPECT_EQ(header.options().attack().step_size(), 0.1);
  EXPECT_EQ(header.options().attack().scopes_size(), 2);

  const v1::EvaluatedFaithfulness& faithfulness =
      answer.messages[1].faithfulness();
  EXPECT_EQ(faithfulness.modules_size(), 2);
  EXPECT_GT(faithfulness.all().weight_mean_square(), 0);
  EXPECT_EQ(faithfulness.all().relative(), 0);

  const v1::EvaluatedSparsity& sparsity = answer.messages[2].sparsity();
  EXPECT_EQ(sparsity.subcomponent_count(), 12);
  double l0 = 0;
  int64_t alive = 0, active = 0;
  for (int m = 0; m < 2; ++m) {
    const v1::EvaluatedModuleSparsity& module =
        answer.messages[3 + m].module_sparsity();
    EXPECT_EQ(module.module(), m);
    ASSERT_EQ(module.densities_size(), 6);
    ASSERT_EQ(module.mean_importances_size(), 6);
    double of_module = 0;
    for (const float density : module.densities()) of_module += density;
    EXPECT_NEAR(module.mean_l0(), of_module, 1e-6);
    l0 += module.mean_l0();
    alive += module.alive_count();
    active += module.active_count();
  }
  EXPECT_NEAR(sparsity.mean_l0(), l0, 1e-9);
  EXPECT_EQ(sparsity.alive_count(), alive);
  EXPECT_EQ(sparsity.active_count(), active);
  EXPECT_GT(alive, 4);

  const v1::EvaluatedReconstruction& table =
      answer.messages[5].reconstruction();
  EXPECT_FALSE(table.has_subset_index());
  ASSERT_EQ(table.readings_size(), 7);
  const double model = table.readings(0).cross_entropy();
  for (int i = 0; i < 7; ++i) {
    const v1::MaskedReading& reading = table.readings(i);
    EXPECT_EQ(reading.masks(), i + 1);
    EXPECT_NEAR(reading.cross_entropy_difference(),
                reading.cross_entropy() - model, 1e-12);
    EXPECT_TRUE(reading.has_cross_entropy_unrecovered());
    EXPECT_EQ(reading.kl_divergence() == 0, i == 0) << i;
  }
  EXPECT_EQ(table.readings(6).cross_entropy_unrecovered(), 1);
  EXPECT_EQ(table.readings(0).cross_entropy_unrecovered(), 0);

  EXPECT_EQ(answer.messages[6].output_errors().masks(),
            v1::EVALUATION_MASKS_CAUSAL_IMPORTANCE);
  EXPECT_EQ(answer.messages[7].output_errors().masks(),
            v1::EVALUATION_MASKS_STOCHASTIC);
  EXPECT_GT(answer.messages[7].output_errors().all().mean_square_error(), 0);
  EXPECT_EQ(answer.messages[7].output_errors().modules_size(), 2);
  EXPECT_EQ(answer.messages[9].pattern_errors().layers_size(), 2);

  const v1::EvaluatedSparsityCurve& curve =
      answer.messages[10].sparsity_curve();
  ASSERT_EQ(curve.points_size(), 8);
  for (int i = 1; i < 8; ++i) {
    EXPECT_LE(curve.points(i).mean_l0(), curve.points(i - 1).mean_l0());
  }
  EXPECT_NEAR(curve.points(0).mean_l0(), sparsity.mean_l0(), 1e-9);
  EXPECT_EQ(curve.points(0).cross_entropy(), table.readings(3).cross_entropy());
  EXPECT_NEAR(curve.points(0).active_parameter_count(), l0 * (8 + 10), 1e-9);

  EXPECT_EQ(answer.messages[11].reconstruction().subset_index(), 0);
  const v1::EvaluatedSparsityCurve& late = answer.messages[12].sparsity_curve();
  EXPECT_TRUE(late.has_subset_index());
  EXPECT_EQ(late.points(0).module_l0(0), 0);
  EXPECT_EQ(late.points(0).module_l0(1), curve.points(0).module_l0(1));

  for (int i = 0; i < 2; ++i) {
    const v1::EvaluatedAttackCurve& attack =
        answer.messages[13 + i].attack_curve();
    EXPECT_EQ(attack.scope(), i + 1);
    EXPECT_EQ(attack.token_count(), 8);
    ASSERT_EQ(attack.points_size(), 4);
    EXPECT_EQ(attack.points(3).step_count(), 80);
    EXPECT_NEAR(attack.points(3).kl_divergence(), 0, 1e-9);  // all masks 1
    EXPECT_GT(attack.points(0).kl_divergence(), 1e-6);
  }
  EXPECT_TRUE(answer.messages.back().summary().has_elapsed());
}

TEST_F(EvaluateTest, CutsLongPromptsIntoRows) {
  request_.clear_prompts();
  std::string text;
  for (int i = 0; i < 41; ++i) text += i == 0 ? "t1" : " t2";
  request_.add_prompts()->set_text(text);
  AddTokens({1, 2, 3, 4, 5, 6, 7});
  request_.mutable_options()->set_row_length(8);
  request_.mutable_options()->set_batch_row_count(4);
  const EvaluationStream answer = Evaluate();
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  const v1::EvaluationHeader& header = answer.messages[0].header();
  EXPECT_EQ(header.row_count(), 6);  // five of 8, one of 7; one token is lost
  EXPECT_EQ(header.token_count(), 47);
  EXPECT_EQ(header.batch_count(), 2);
  EXPECT_EQ(header.options().row_length(), 8);
}

TEST_F(EvaluateTest, OptionsAreToldAgain) {
  v1::EvaluationOptions& options = *request_.mutable_options();
  options.set_row_length(4);
  options.set_batch_row_count(1);
  options.set_alive_threshold(0.25);
  options.set_alive_mean_importance(0.5);
  options.set_rounding_threshold(0.125);
  options.set_sample_count(3);
  options.add_sweep_thresholds(0.5);
  options.set_seed(77);
  options.mutable_attack()->add_step_counts(0);
  options.mutable_attack()->add_step_counts(2);
  options.mutable_attack()->set_step_size(0.25);
  options.mutable_attack()->set_restart_count(2);
  options.mutable_attack()->add_scopes(
      v1::EVALUATION_ATTACK_SCOPE_PER_DATAPOINT);
  options.mutable_attack()->set_max_batch_count(1);
  const EvaluationStream answer = Evaluate();
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_EQ(answer.messages[0].header().options().SerializeAsString(),
            options.SerializeAsString());
}

TEST_F(EvaluateTest, RefusesBadPrompts) {
  const v1::EvaluateRequest good = request_;
  request_.set_name("toy/main");
  ExpectRefusal("BAD_RESOURCE_NAME", "name");
  request_.set_name("models/toy/decompositions/none");
  const grpc::Status absent = Evaluate().status;
  EXPECT_EQ(absent.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(testing::Decode(absent).reason, "DECOMPOSITION_NOT_FOUND");
  request_ = good;
  request_.clear_prompts();
  ExpectRefusal("EMPTY_PROMPT", "prompts");
  request_ = good;
  AddTokens({});
  ExpectRefusal("EMPTY_PROMPT", "prompts[2]");
  request_ = good;
  AddTokens({5});
  ExpectRefusal("PROMPT_TOO_SHORT", "prompts[2]");
  request_ = good;
  AddTokens({5, 24});
  ExpectRefusal("TOKEN_OUT_OF_RANGE", "prompts[2].tokens.ids[1]");
  request_ = good;
  AddTokens(std::vector<int>(33, 1));
  ExpectRefusal("PROMPT_TOO_LONG", "prompts[2]");
  request_ = good;
  request_.add_prompts()->set_text(std::string(kMaxTextBytes + 1, 'x'));
  ExpectRefusal("TEXT_TOO_LONG", "prompts[2].text");
  request_ = good;
  for (int i = 0; i < kMaxEvaluationPrompts; ++i) AddTokens({1, 2});
  ExpectRefusal("TOO_MANY_PROMPTS", "prompts");
  request_ = good;
  request_.mutable_options()->set_row_length(32);
  AddTokens(std::vector<int>(kMaxEvaluationTokens, 1));
  ExpectRefusal("TOO_MANY_PROMPTS", "prompts");
  request_ = good;
  request_.mutable_options()->set_row_length(2);
  AddTokens(std::vector<int>(200'000, 1));
  ExpectRefusal("OPTION_OUT_OF_RANGE", "prompts");
}

TEST_F(EvaluateTest, RefusesBadEvaluationOptions) {
  const v1::EvaluateRequest good = request_;
  using Options = v1::EvaluationOptions;
  const std::vector<std::pair<std::string, std::function<void(Options*)>>>
      bads = {
          {"options.row_length", [](Options* o) { o->set_row_length(1); }},
          {"options.row_length", [](Options* o) { o->set_row_length(33); }},
          {"options.batch_row_count",
           [](Options* o) { o->set_batch_row_count(-1); }},
          {"options.alive_threshold",
           [](Options* o) { o->set_alive_threshold(2); }},
          {"options.alive_mean_importance",
           [](Options* o) { o->set_alive_mean_importance(-1); }},
          {"options.rounding_threshold",
           [](Options* o) { o->set_rounding_threshold(NAN); }},
          {"options.sample_count", [](Options* o) { o->set_sample_count(17); }},
          {"options.sweep_thresholds[1]",
           [](Options* o) {
             o->add_sweep_thresholds(0);
             o->add_sweep_thresholds(1.5);
           }},
          {"options.sweep_thresholds",
           [](Options* o) {
             for (int i = 0; i < 65; ++i) o->add_sweep_thresholds(0);
           }},
          {"options.subsets",
           [](Options* o) {
             for (int i = 0; i < 17; ++i) {
               o->add_subsets()->add_modules("fake.0.mlp.up");
             }
           }},
          {"options.subsets[0].modules", [](Options* o) { o->add_subsets(); }},
          {"options.subsets[0].name",
           [](Options* o) {
             o->add_subsets()->set_name(std::string(65, 'x'));
           }},
          {"options.attack.step_counts[1]",
           [](Options* o) {
             o->mutable_attack()->add_step_counts(5);
             o->mutable_attack()->add_step_counts(5);
           }},
          {"options.attack.step_counts[0]",
           [](Options* o) { o->mutable_attack()->add_step_counts(1001); }},
          {"options.attack.step_counts",
           [](Options* o) {
             for (int i = 0; i < 17; ++i) {
               o->mutable_attack()->add_step_counts(i);
             }
           }},
          {"options.attack.step_size",
           [](Options* o) { o->mutable_attack()->set_step_size(0); }},
          {"options.attack.restart_count",
           [](Options* o) { o->mutable_attack()->set_restart_count(17); }},
          {"options.attack.max_batch_count",
           [](Options* o) { o->mutable_attack()->set_max_batch_count(-1); }},
          {"options.attack.scopes[0]",
           [](Options* o) {
             o->mutable_attack()->add_scopes(
                 v1::EVALUATION_ATTACK_SCOPE_UNSPECIFIED);
           }},
          {"options.attack.scopes[1]",
           [](Options* o) {
             for (int i = 0; i < 2; ++i) {
               o->mutable_attack()->add_scopes(
                   v1::EVALUATION_ATTACK_SCOPE_PER_DATAPOINT);
             }
           }},
      };
  for (const auto& [field, spoil] : bads) {
    request_ = good;
    spoil(request_.mutable_options());
    ExpectRefusal("OPTION_OUT_OF_RANGE", field);
  }
  request_ = good;
  v1::EvaluationSubset& subset = *request_.mutable_options()->add_subsets();
  subset.add_modules("fake.9.mlp.up");
  ExpectRefusal("UNKNOWN_MODULE", "options.subsets[0].modules[0]");
  subset.set_modules(0, "fake.0.mlp.up");
  subset.add_modules("fake.0.mlp.up");
  ExpectRefusal("DUPLICATE_MODULE", "options.subsets[0].modules[1]");
}

TEST_F(EvaluateTest, SoManyCallsMayLiveAndACancelledOneEnds) {
  const v1::EvaluateRequest little = request_;
  AskForMuch();
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::EvaluateResponse>>>
      streams;
  for (int i = 0; i < kMaxLiveEvaluations; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    streams.push_back(stub_->Evaluate(contexts.back().get(), request_));
    v1::EvaluateResponse response;
    ASSERT_TRUE(streams.back()->Read(&response));
  }
  request_ = little;
  const grpc::Status refused = Evaluate().status;
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(testing::Decode(refused).reason, "TOO_MANY_CALLS");
  for (const auto& context : contexts) context->TryCancel();
  for (const auto& stream : streams) {
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
}

TEST_F(EvaluateTest, EndedCallsLeaveTheirPlaces) {
  for (int i = 0; i < kMaxLiveEvaluations + 1; ++i) {
    EXPECT_TRUE(Evaluate().status.ok());
  }
}

}  // namespace
}  // namespace spar::service
