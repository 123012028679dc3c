// DecompositionService over the fake model.
#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "spar/v1/decomposition_service.grpc.pb.h"
#include "tests/service/rich_error.h"
#include "tests/service/served_model.h"

namespace spar::service {
namespace {

using testing::Decode;
using testing::RichError;

constexpr char kName[] = "models/toy/decompositions/main";

models::FakeBackendOptions Decomposed() {
  models::FakeBackendOptions options;
  options.decompositions = {"alpha", "main", "zeta"};
  return options;
}

class DecompositionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(
        registry_
            .Add(testing::MakeServedModel("toy", &explainer_, Decomposed()))
            .ok());
    testing::ScriptedExplainer* bare = nullptr;
    ASSERT_TRUE(registry_.Add(testing::MakeServedModel("bare", &bare)).ok());
    ServerOptions options;
    options.listen = "127.0.0.1:0";
    auto server = Server::Start(&registry_, options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = v1::DecompositionService::NewStub(server_->InProcessChannel());
  }

  grpc::Status List(const v1::ListDecompositionsRequest& request) {
    grpc::ClientContext context;
    list_.Clear();
    return stub_->ListDecompositions(&context, request, &list_);
  }
  grpc::Status Get(const v1::GetDecompositionRequest& request) {
    grpc::ClientContext context;
    get_.Clear();
    return stub_->GetDecomposition(&context, request, &get_);
  }
  const v1::Decomposition& got() const { return get_.decomposition(); }

  static void ExpectBad(const grpc::Status& status,
                        const std::string& reason,
                        const std::string& field) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << status.error_message();
    const RichError error = Decode(status);
    EXPECT_EQ(error.reason, reason) << error.message;
    EXPECT_EQ(error.field, field) << error.message;
  }
  static void ExpectAbsent(const grpc::Status& status,
                           const std::string& reason,
                           const std::string& resource) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(Decode(status).reason, reason);
    EXPECT_EQ(Decode(status).resource, resource);
  }

  ModelRegistry registry_;
  testing::ScriptedExplainer* explainer_ = nullptr;
  std::unique_ptr<Server> server_;
  std::unique_ptr<v1::DecompositionService::Stub> stub_;
  v1::ListDecompositionsResponse list_;
  v1::GetDecompositionResponse get_;
};

TEST_F(DecompositionTest, ListsByNamePageByPage) {
  v1::ListDecompositionsRequest request;
  request.set_parent("models/toy");
  ASSERT_TRUE(List(request).ok());
  EXPECT_EQ(list_.decompositions_size(), 3);
  EXPECT_EQ(list_.next_page_token(), "");
  request.set_page_size(2);
  ASSERT_TRUE(List(request).ok());
  ASSERT_EQ(list_.decompositions_size(), 2);
  EXPECT_EQ(list_.decompositions(0).name(), "models/toy/decompositions/alpha");
  EXPECT_EQ(list_.decompositions(1).name(), kName);
  EXPECT_EQ(list_.decompositions(1).modules_size(), 0);
  EXPECT_EQ(list_.decompositions(1).module_count(), 2);
  request.set_page_token(list_.next_page_token());
  ASSERT_TRUE(List(request).ok());
  ASSERT_EQ(list_.decompositions_size(), 1);
  EXPECT_EQ(list_.decompositions(0).name(), "models/toy/decompositions/zeta");
  EXPECT_EQ(list_.next_page_token(), "");
  request.Clear();
  request.set_parent("models/bare");
  ASSERT_TRUE(List(request).ok());
  EXPECT_EQ(list_.decompositions_size(), 0);
}

TEST_F(DecompositionTest, RefusesListsThatCannotBe) {
  v1::ListDecompositionsRequest request;
  ExpectBad(List(request), "BAD_RESOURCE_NAME", "parent");
  request.set_parent("models/none");
  ExpectAbsent(List(request), "MODEL_NOT_FOUND", "models/none");
  request.set_parent("models/toy");
  request.set_page_size(-1);
  ExpectBad(List(request), "PAGE_SIZE_OUT_OF_RANGE", "page_size");
  request.set_page_size(0);
  request.set_page_token("what?");
  ExpectBad(List(request), "BAD_PAGE_TOKEN", "page_token");
}

TEST_F(DecompositionTest, TellsWhatADecompositionIs) {
  const models::DecompositionInfo& info = explainer_->decompositions()[1];
  v1::GetDecompositionRequest request;
  request.set_name(kName);
  ASSERT_TRUE(Get(request).ok());
  EXPECT_EQ(got().name(), kName);
  EXPECT_EQ(got().digest(), info.digest);
  EXPECT_EQ(got().target_weights_digest(), info.spec.target_weights_digest);
  EXPECT_EQ(got().module_count(), 2);
  EXPECT_EQ(got().subcomponent_count(), info.spec.num_components());
  EXPECT_EQ(got().importance_function().kind(),
            v1::IMPORTANCE_FUNCTION_KIND_MLP);
  EXPECT_EQ(got().importance_function().sigmoid(),
            v1::IMPORTANCE_SIGMOID_LEAKY_HARD);
  EXPECT_EQ(got().importance_function().hidden_widths(0), 1);
  EXPECT_EQ(got().sampling(), v1::MASK_SAMPLING_CONTINUOUS);
  EXPECT_TRUE(got().has_delta());
  EXPECT_EQ(got().dtype(), "float32");
  EXPECT_EQ(got().memory_bytes(), info.memory_bytes);
  EXPECT_EQ(got().identity_error(), info.identity_error);
  EXPECT_EQ(got().training_json(), "{}");
  EXPECT_EQ(got().training_byte_count(), 2);
  ASSERT_EQ(got().modules_size(), 2);
  const v1::DecompositionModule& module = got().modules(1);
  const models::DecomposedModule& from = info.spec.modules[1];
  EXPECT_EQ(module.name(), from.name);
  EXPECT_EQ(module.layer(), 1);
  EXPECT_EQ(module.part(), v1::ATTRIBUTION_PART_UP);
  EXPECT_EQ(module.input_width(), from.d_in);
  EXPECT_EQ(module.output_width(), from.d_out);
  EXPECT_EQ(module.subcomponent_count(), from.num_components);
  EXPECT_FALSE(module.has_alive_count());
  EXPECT_EQ(module.weight_norm(), info.modules[1].weight_norm);
  EXPECT_EQ(module.delta_norm(), info.modules[1].delta_norm);
  EXPECT_EQ(module.subcomponent_norms_size(), 0);
}

TEST_F(DecompositionTest, TellsAsMuchAsItsViewSays) {
  v1::GetDecompositionRequest request;
  request.set_name(kName);
  request.set_view(v1::DECOMPOSITION_VIEW_BASIC);
  ASSERT_TRUE(Get(request).ok());
  EXPECT_EQ(got().modules_size(), 0);
  EXPECT_EQ(got().training_json(), "");
  EXPECT_EQ(got().training_byte_count(), 2);
  request.set_view(v1::DECOMPOSITION_VIEW_FULL);
  request.add_modules("fake.1.mlp.up");
  ASSERT_TRUE(Get(request).ok());
  ASSERT_EQ(got().modules_size(), 1);
  EXPECT_EQ(got().modules(0).layer(), 1);
  const models::DecompositionInfo& info = explainer_->decompositions()[1];
  const google::protobuf::RepeatedField<float>& norms =
      got().modules(0).subcomponent_norms();
  EXPECT_EQ(std::vector<float>(norms.begin(), norms.end()),
            info.modules[1].component_norms);
}

TEST_F(DecompositionTest, RefusesWhatItCannotTell) {
  v1::GetDecompositionRequest request;
  for (const char* const name :
       {"", "main", "models/toy", "models/toy/decompositions/",
        "models//decompositions/main", "toy/decompositions/main",
        "models/toy/decompositions/main/x", "models/toy/decompositions/MAIN",
        "models/toy/decompositions/main/decompositions/main"}) {
    request.set_name(name);
    ExpectBad(Get(request), "BAD_RESOURCE_NAME", "name");
  }
  request.set_name("models/none/decompositions/main");
  ExpectAbsent(Get(request), "MODEL_NOT_FOUND", "models/none");
  request.set_name("models/bare/decompositions/main");
  ExpectAbsent(Get(request), "DECOMPOSITION_NOT_FOUND",
               "models/bare/decompositions/main");
  request.set_name(kName);
  request.set_view(static_cast<v1::DecompositionView>(99));
  ExpectBad(Get(request), "OPTION_OUT_OF_RANGE", "view");
  request.clear_view();
  request.add_modules("fake.0.mlp.up");
  request.add_modules("fake.0.mlp.down");
  ExpectBad(Get(request), "UNKNOWN_MODULE", "modules[1]");
  request.set_modules(1, "fake.0.mlp.up");
  ExpectBad(Get(request), "DUPLICATE_MODULE", "modules[1]");
}

TEST_F(DecompositionTest, AModelListsItsDecompositions) {
  const auto models = v1::ModelService::NewStub(server_->InProcessChannel());
  grpc::ClientContext context;
  v1::GetModelRequest request;
  request.set_name("models/toy");
  v1::GetModelResponse response;
  ASSERT_TRUE(models->GetModel(&context, request, &response).ok());
  ASSERT_EQ(response.model().decompositions_size(), 3);
  EXPECT_EQ(response.model().decompositions(1).name(), kName);
  EXPECT_EQ(response.model().decompositions(1).memory_bytes(),
            explainer_->decompositions()[1].memory_bytes);
}

class ImportancesTest : public DecompositionTest {
 protected:
  void SetUp() override {
    DecompositionTest::SetUp();
    request_.set_name(kName);
    AddPrompt({3, 7, 1, 9});
    AddPrompt({5});
    AddPrompt({9, 9, 2});
  }

  void AddPrompt(const std::vector<models::TokenId>& tokens) {
    v1::TokenIds& ids = *request_.add_prompts()->mutable_tokens();
    ids.mutable_ids()->Add(tokens.begin(), tokens.end());
    prompts_.push_back(tokens);
  }

  grpc::Status Ask() {
    grpc::ClientContext context;
    start_.Clear();
    messages_.clear();
    const auto stream = stub_->Importances(&context, request_);
    v1::ImportancesResponse response;
    while (stream->Read(&response)) {
      if (response.has_start()) start_ = response.start();
      if (response.has_importances()) {
        messages_.push_back(response.importances());
      }
    }
    return stream->Finish();
  }

  void Expect(const std::string& reason, const std::string& field) {
    ExpectBad(Ask(), reason, field);
  }

  // What the backend says, put through no message.
  std::vector<models::PromptImportances> Truth(double threshold) const {
    models::FakeBackend backend(Decomposed());
    return *backend.Importances("main", prompts_, {.threshold = threshold});
  }

  v1::ImportancesRequest request_;
  std::vector<std::vector<models::TokenId>> prompts_;
  v1::ImportancesStart start_;
  std::vector<v1::PromptImportances> messages_;
};

// The lists of one message's module, where each position has all its entries.
void ExpectModule(const v1::ModuleImportances& got,
                  const models::ModuleImportances& want) {
  int entry = 0;
  for (int i = 0; i < got.counts_size(); ++i) {
    const int64_t t = got.first_position() + i;
    ASSERT_EQ(got.counts(i), want.begin[t + 1] - want.begin[t]);
    int number = 0;
    for (int64_t e = want.begin[t]; e < want.begin[t + 1]; ++e, ++entry) {
      number += got.subcomponent_deltas(entry);
      EXPECT_EQ(number, want.component[e]);
      EXPECT_EQ(got.importances(entry), want.importance[e]);
      EXPECT_EQ(got.activations(entry), want.activation[e]);
    }
  }
  EXPECT_EQ(entry, std::ssize(want.component));
}

TEST_F(ImportancesTest, TellWhatTheBackendSays) {
  request_.set_threshold(0.25);
  ASSERT_TRUE(Ask().ok());
  EXPECT_EQ(start_.name(), kName);
  EXPECT_EQ(start_.digest(), explainer_->decompositions()[1].digest);
  EXPECT_EQ(start_.model_digest(), explainer_->info().digest);
  EXPECT_EQ(start_.prompt_count(), 3);
  ASSERT_EQ(start_.modules_size(), 2);
  EXPECT_EQ(start_.modules(0).name(), "fake.0.mlp.up");
  EXPECT_EQ(start_.modules(0).subcomponent_count(), 12);
  const auto truth = Truth(0.25);
  ASSERT_EQ(messages_.size(), 3u);
  for (int p = 0; p < 3; ++p) {
    const v1::PromptImportances& message = messages_[p];
    EXPECT_EQ(message.prompt(), p);
    ASSERT_EQ(message.tokens_size(), std::ssize(prompts_[p]));
    EXPECT_EQ(message.token_count(), std::ssize(prompts_[p]));
    EXPECT_EQ(message.tokens(0).id(), prompts_[p][0]);
    EXPECT_EQ(message.cut_count(), 0);
    int64_t entries = 0;
    for (const v1::ModuleImportances& module : message.modules()) {
      ExpectModule(module, truth[p].modules[module.module()]);
      entries += module.importances_size();
    }
    EXPECT_EQ(message.entry_count(), entries);
    EXPECT_EQ(entries, std::ssize(truth[p].modules[0].component) +
                           std::ssize(truth[p].modules[1].component));
  }
}

TEST_F(ImportancesTest, LeaveOutTheWeakerAndCountThem) {
  request_.set_max_subcomponent_count(2);
  request_.add_modules("fake.1.mlp.up");
  ASSERT_TRUE(Ask().ok());
  ASSERT_EQ(start_.modules_size(), 1);
  EXPECT_EQ(start_.modules(0).name(), "fake.1.mlp.up");
  const models::PromptImportances all = Truth(0)[0];
  const models::ModuleImportances& from = all.modules[1];
  models::ModuleImportances want;
  for (size_t t = 0; t < prompts_[0].size(); ++t) {
    std::vector<int64_t> order;
    for (int64_t e = from.begin[t]; e < from.begin[t + 1]; ++e) {
      order.push_back(e);
    }
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return from.importance[a] > from.importance[b];
    });
    ASSERT_GT(order.size(), 2u);
    order.resize(2);
    std::sort(order.begin(), order.end());
    for (const int64_t e : order) {
      want.component.push_back(from.component[e]);
      want.importance.push_back(from.importance[e]);
      want.activation.push_back(from.activation[e]);
    }
    want.begin.push_back(std::ssize(want.component));
  }
  ASSERT_EQ(messages_[0].modules_size(), 1);
  ExpectModule(messages_[0].modules(0), want);
  EXPECT_EQ(messages_[0].entry_count(), 8);
  EXPECT_EQ(messages_[0].cut_count(), std::ssize(from.component) - 8);
}

TEST_F(ImportancesTest, RefuseRequestsByField) {
  const v1::ImportancesRequest good = request_;
  const auto expect = [&](const std::string& reason, const std::string& field,
                          const auto& spoil) {
    request_ = good;
    spoil(request_);
    Expect(reason, field);
  };
  using Request = v1::ImportancesRequest;
  expect("BAD_RESOURCE_NAME", "name", [](Request& r) { r.set_name("main"); });
  expect("EMPTY_PROMPT", "prompts", [](Request& r) { r.clear_prompts(); });
  expect("EMPTY_PROMPT", "prompts[3]", [](Request& r) { r.add_prompts(); });
  expect("PROMPT_TOO_LONG", "prompts[1]", [](Request& r) {
    for (int i = 0; i < 40; ++i) {
      r.mutable_prompts(1)->mutable_tokens()->add_ids(1);
    }
  });
  expect("TOKEN_OUT_OF_RANGE", "prompts[2].tokens.ids[1]", [](Request& r) {
    r.mutable_prompts(2)->mutable_tokens()->set_ids(1, 24);
  });
  expect("UNENCODABLE_TEXT", "prompts[0].text",
         [](Request& r) { r.mutable_prompts(0)->set_text("what"); });
  expect("TEXT_TOO_LONG", "prompts[0].text", [](Request& r) {
    r.mutable_prompts(0)->set_text(std::string(300'000, 'x'));
  });
  expect("TOO_MANY_PROMPTS", "prompts", [](Request& r) {
    for (int i = 0; i < 1'024; ++i) *r.add_prompts() = r.prompts(0);
  });
  for (const double bad : {-0.1, 1.5, std::numeric_limits<double>::quiet_NaN(),
                           std::numeric_limits<double>::infinity()}) {
    expect("OPTION_OUT_OF_RANGE", "threshold",
           [bad](Request& r) { r.set_threshold(bad); });
  }
  expect("OPTION_OUT_OF_RANGE", "max_subcomponent_count",
         [](Request& r) { r.set_max_subcomponent_count(-1); });
  expect("UNKNOWN_MODULE", "modules[0]",
         [](Request& r) { r.add_modules("nothing"); });
  request_ = good;
  request_.set_name("models/toy/decompositions/none");
  ExpectAbsent(Ask(), "DECOMPOSITION_NOT_FOUND",
               "models/toy/decompositions/none");
  request_.set_name("models/none/decompositions/main");
  ExpectAbsent(Ask(), "MODEL_NOT_FOUND", "models/none");
}

TEST_F(ImportancesTest, ManyPromptsComeInTheirOrder) {
  for (int i = 3; i < 1'024; ++i) AddPrompt({i % 24, (i / 24) % 24});
  ASSERT_TRUE(Ask().ok());
  ASSERT_EQ(messages_.size(), 1'024u);
  const auto truth = Truth(0);
  for (int p = 0; p < 1'024; ++p) {
    ASSERT_EQ(messages_[p].prompt(), p);
    int64_t entries = 0;
    for (const v1::ModuleImportances& module : messages_[p].modules()) {
      ExpectModule(module, truth[p].modules[module.module()]);
      entries += module.importances_size();
    }
    EXPECT_EQ(entries, std::ssize(truth[p].modules[0].component) +
                           std::ssize(truth[p].modules[1].component));
  }
}

TEST_F(ImportancesTest, ACancelledCallEnds) {
  explainer_->HoldImportances();
  grpc::ClientContext context;
  const auto stream = stub_->Importances(&context, request_);
  v1::ImportancesResponse response;
  ASSERT_TRUE(stream->Read(&response));
  context.TryCancel();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  explainer_->ReleaseImportances();
  server_->Drain();
  EXPECT_TRUE(server_->WaitUntilIdle(std::chrono::steady_clock::now() +
                                     std::chrono::seconds(20)));
}

TEST_F(ImportancesTest, OnlySoManyCallsAreAnsweredAtATime) {
  explainer_->HoldImportances();
  constexpr int kLimit = 16;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::ImportancesResponse>>>
      streams;
  v1::ImportancesResponse response;
  for (int i = 0; i < kLimit; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    streams.push_back(stub_->Importances(contexts.back().get(), request_));
    ASSERT_TRUE(streams.back()->Read(&response));
  }
  const grpc::Status refused = Ask();
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Decode(refused).reason, "TOO_MANY_CALLS");
  EXPECT_GT(Decode(refused).retry_seconds, 0);
  explainer_->ReleaseImportances();
  for (const auto& stream : streams) {
    while (stream->Read(&response)) {
    }
    EXPECT_TRUE(stream->Finish().ok());
  }
}

}  // namespace
}  // namespace spar::service
