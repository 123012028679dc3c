// Real searches over the fake model, asked through gRPC.
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "base/status.h"
#include "models/fake_backend.h"
#include "server/service/server.h"
#include "spar/v1/explanation_service.grpc.pb.h"
#include "tests/service/rich_error.h"
#include "tests/service/word_tokenizer.h"

namespace spar::service {
namespace {

class LiveSearchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    models::FakeBackendOptions options;
    options.reference_prompts = {{3, 7, 1, 9, 2}, {4, 8, 2, 6, 1}, {5, 5, 3}};
    options.decompositions = {"main"};
    ServedModel model;
    model.id = "toy";
    model.tokenizer = testing::MakeWordTokenizer(options.vocab_size);
    model.explainer = search::Explainer::Make(
        std::make_unique<models::FakeBackend>(options), {});
    ASSERT_TRUE(registry_.Add(std::move(model)).ok());
    ServerOptions server_options;
    server_options.listen = "127.0.0.1:0";
    auto server = Server::Start(&registry_, server_options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = v1::ExplanationService::NewStub(server_->InProcessChannel());
  }

  v1::CrystallizeRequest Request() const {
    v1::CrystallizeRequest request;
    request.set_model("models/toy");
    request.mutable_prompt()->set_text("t3 t7 t1 t9");
    request.mutable_options()->set_mode(v1::MODE_SUFFICIENT);
    request.mutable_options()->set_sparse_fraction(1);
    return request;
  }

  v1::Explanation Explain(const v1::CrystallizeRequest& request) {
    grpc::ClientContext context;
    auto reader = stub_->Crystallize(&context, request);
    v1::CrystallizeResponse response;
    int64_t expected = 1;
    while (reader->Read(&response) && response.has_event()) {
      EXPECT_EQ(response.event().sequence(), expected++);
      EXPECT_GT(response.event().margin(), 0);
      EXPECT_EQ(response.event().unit_count(), num_units_);
    }
    const grpc::Status status = reader->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.explanation();
  }

  v1::VerifyResponse Verify(const std::string& json) {
    grpc::ClientContext context;
    v1::VerifyRequest request;
    request.set_model("models/toy");
    request.set_certificate_json(json);
    v1::VerifyResponse response;
    status_ = stub_->Verify(&context, request, &response);
    return response;
  }

  ModelRegistry registry_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<v1::ExplanationService::Stub> stub_;
  grpc::Status status_;  // of the last Verify
  int num_units_ = 24;   // of the questions
};

TEST_F(LiveSearchTest, ExplainsAndVerifies) {
  for (const v1::Mode mode : {v1::MODE_SUFFICIENT, v1::MODE_GROUNDED}) {
    v1::CrystallizeRequest request = Request();
    request.mutable_options()->set_mode(mode);
    const v1::Explanation explanation = Explain(request);
    EXPECT_NE(explanation.verdict(), v1::VERDICT_UNSPECIFIED);
    EXPECT_EQ(explanation.prompt_size(), 4);
    EXPECT_EQ(explanation.kept_unit_count(), explanation.units_size());
    if (explanation.verdict() != v1::VERDICT_CRYSTALLIZED) continue;
    const std::string& json = explanation.certificate().canonical_json();
    EXPECT_EQ(Verify(json).verdict(), v1::CERTIFICATE_VERDICT_VALID);
    std::string tampered = json;
    const size_t at = tampered.find("\"target\":") + 9;
    tampered[at] = tampered[at] == '1' ? '2' : '1';
    EXPECT_EQ(Verify(tampered).verdict(), v1::CERTIFICATE_VERDICT_INVALID);
    EXPECT_TRUE(status_.ok());
  }
}

TEST_F(LiveSearchTest, ExplainsByUnitsOfADecomposition) {
  const std::pair<v1::UnitScheme, int> schemes[] = {
      {v1::UNIT_SCHEME_SUBCOMPONENT, 24},
      {v1::UNIT_SCHEME_SUBCOMPONENT_AND_DELTA, 26},
      {v1::UNIT_SCHEME_NODE, 4 * 24},
      {v1::UNIT_SCHEME_NODE_AND_DELTA, 4 * 26},
  };
  for (const auto& [scheme, num_units] : schemes) {
    num_units_ = num_units;
    v1::CrystallizeRequest request = Request();
    request.mutable_options()->set_unit_scheme(scheme);
    request.mutable_options()->set_decomposition("main");
    const v1::Explanation explanation = Explain(request);
    ASSERT_EQ(explanation.verdict(), v1::VERDICT_CRYSTALLIZED);
    EXPECT_EQ(explanation.unit_count(), num_units);
    const bool nodes = num_units > 26;
    for (const v1::Unit& unit : explanation.units()) {
      EXPECT_EQ(unit.module(), base::Cat("fake.", unit.layer(), ".mlp.up"));
      EXPECT_EQ(unit.has_position(), nodes);
      const std::string part = unit.kind() == "delta"
                                   ? "#delta"
                                   : base::Cat("#subcomponent=", unit.index());
      EXPECT_EQ(unit.name(),
                base::Cat(unit.module(), part, nodes ? "@" : "",
                          nodes ? std::to_string(unit.position()) : ""));
    }
    EXPECT_FALSE(explanation.units().empty());
    EXPECT_EQ(explanation.certificate().decomposition_digest().size(), 64u);
    EXPECT_EQ(Verify(explanation.certificate().canonical_json()).verdict(),
              v1::CERTIFICATE_VERDICT_VALID);
  }
}

TEST_F(LiveSearchTest, RefusesUnitsWithoutADecomposition) {
  struct Bad {
    v1::UnitScheme scheme;
    std::string decomposition;
    std::string reason;
    grpc::StatusCode code = grpc::StatusCode::INVALID_ARGUMENT;
  };
  const Bad bads[] = {
      {v1::UNIT_SCHEME_NODE, "", "DECOMPOSITION_REQUIRED"},
      {v1::UNIT_SCHEME_HEAD, "main", "DECOMPOSITION_NOT_WANTED"},
      {v1::UNIT_SCHEME_UNSPECIFIED, "main", "DECOMPOSITION_NOT_WANTED"},
      {v1::UNIT_SCHEME_SUBCOMPONENT, "none", "DECOMPOSITION_NOT_FOUND",
       grpc::StatusCode::NOT_FOUND},
  };
  for (const Bad& bad : bads) {
    v1::CrystallizeRequest request = Request();
    request.mutable_options()->set_unit_scheme(bad.scheme);
    request.mutable_options()->set_decomposition(bad.decomposition);
    grpc::ClientContext context;
    auto reader = stub_->Crystallize(&context, request);
    v1::CrystallizeResponse response;
    EXPECT_FALSE(reader->Read(&response));
    const grpc::Status status = reader->Finish();
    EXPECT_EQ(status.error_code(), bad.code);
    EXPECT_EQ(testing::Decode(status).reason, bad.reason);
    if (bad.code == grpc::StatusCode::INVALID_ARGUMENT) {
      EXPECT_EQ(testing::Decode(status).field, "options.decomposition");
    }
  }
}

TEST_F(LiveSearchTest, RefusesWhatIsNoCertificate) {
  for (const char* json : {"", "{}", "[]", "no JSON", "{\"a\":"}) {
    Verify(json);
    EXPECT_EQ(status_.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(testing::Decode(status_).reason, "BAD_CERTIFICATE");
  }
}

TEST_F(LiveSearchTest, GivesOneAnswerAloneAndInACrowd) {
  const v1::Explanation alone = Explain(Request());
  constexpr int kClients = 16;
  std::vector<v1::Explanation> answers(kClients);
  std::vector<std::thread> clients;
  for (int c = 0; c < kClients; ++c) {
    clients.emplace_back([&, c] { answers[c] = Explain(Request()); });
  }
  for (std::thread& client : clients) client.join();
  for (const v1::Explanation& answer : answers) {
    EXPECT_EQ(answer.verdict(), alone.verdict());
    EXPECT_EQ(answer.certificate().digest(), alone.certificate().digest());
  }
}

TEST_F(LiveSearchTest, GroundsNothingWithoutReferencePrompts) {
  ServedModel bare;
  bare.id = "bare";
  bare.tokenizer = testing::MakeWordTokenizer(24);
  bare.explainer =
      search::Explainer::Make(std::make_unique<models::FakeBackend>(), {});
  server_.reset();
  ASSERT_TRUE(registry_.Add(std::move(bare)).ok());
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  server_ = *Server::Start(&registry_, options);
  stub_ = v1::ExplanationService::NewStub(server_->InProcessChannel());
  v1::CrystallizeRequest request = Request();
  request.set_model("models/bare");
  request.mutable_options()->set_mode(v1::MODE_GROUNDED);
  grpc::ClientContext context;
  auto reader = stub_->Crystallize(&context, request);
  v1::CrystallizeResponse response;
  EXPECT_FALSE(reader->Read(&response));
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(testing::Decode(status).reason, "NO_REFERENCE_PROMPTS");
}

}  // namespace
}  // namespace spar::service
