#include "client/spar_client.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include <gmock/gmock.h>
#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/status.h"
#include "spar/v1/decomposition_service.grpc.pb.h"
#include "spar/v1/explanation_service.grpc.pb.h"
#include "spar/v1/model_service.grpc.pb.h"
#include "spar/v1/pruning_service.grpc.pb.h"
#include "tests/client/sample_pruning.h"

namespace spar::client {
namespace {

using testing::ElementsAre;

constexpr std::chrono::seconds kPatience{60};

grpc::Status RichError() {
  google::rpc::ErrorInfo info;
  info.set_reason("TOKEN_OUT_OF_RANGE");
  info.set_domain("spar.dev");
  (*info.mutable_metadata())["token"] = "7";
  google::rpc::BadRequest bad;
  bad.add_field_violations()->set_field("prompt.tokens.ids[0]");
  google::rpc::Status rich;
  rich.set_code(3);
  rich.add_details()->PackFrom(info);
  rich.add_details()->PackFrom(bad);
  return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "token 7 of 5",
                      rich.SerializeAsString());
}

// Answers as told; one model a page.
class FakeModels final : public v1::ModelService::Service {
 public:
  std::vector<std::string> names = {"models/only"};

  grpc::Status ListModels(grpc::ServerContext*,
                          const v1::ListModelsRequest* request,
                          v1::ListModelsResponse* response) override {
    const size_t page =
        request->page_token().empty() ? 0 : std::stoul(request->page_token());
    if (page < names.size()) response->add_models()->set_name(names[page]);
    if (page + 1 < names.size()) {
      response->set_next_page_token(std::to_string(page + 1));
    }
    return grpc::Status::OK;
  }

  grpc::Status GetModel(grpc::ServerContext*,
                        const v1::GetModelRequest* request,
                        v1::GetModelResponse* response) override {
    response->mutable_model()->set_name(request->name());
    return grpc::Status::OK;
  }

  grpc::Status Predict(grpc::ServerContext*,
                       const v1::PredictRequest*,
                       v1::PredictResponse*) override {
    return RichError();
  }

  // Never answers before its client gives up.
  grpc::Status Tokenize(grpc::ServerContext* context,
                        const v1::TokenizeRequest*,
                        v1::TokenizeResponse*) override {
    while (!context->IsCancelled()) std::this_thread::yield();
    return grpc::Status::CANCELLED;
  }
};

class FakeExplanations final : public v1::ExplanationService::Service {
 public:
  std::vector<int64_t> sequences = {1, 2};
  bool explains = true;
  bool waits_for_cancel = false;
  std::atomic<bool> saw_cancel{false};

  grpc::Status Crystallize(
      grpc::ServerContext* context,
      const v1::CrystallizeRequest*,
      grpc::ServerWriter<v1::CrystallizeResponse>* writer) override {
    v1::CrystallizeResponse response;
    for (const int64_t sequence : sequences) {
      response.mutable_event()->set_sequence(sequence);
      writer->Write(response);
    }
    while (waits_for_cancel && !context->IsCancelled()) {
      std::this_thread::yield();
    }
    saw_cancel = context->IsCancelled();
    response.mutable_explanation()->set_margin(1.5);
    if (explains) writer->Write(response);
    return grpc::Status::OK;
  }

  // Two nodes and an edge; the header and the summary count as told.
  int node_count = 2;
  int edge_count = 1;
  bool sums_up = true;

  grpc::Status Attribute(
      grpc::ServerContext* context,
      const v1::AttributeRequest*,
      grpc::ServerWriter<v1::AttributeResponse>* writer) override {
    v1::AttributeResponse response;
    response.mutable_header()->set_node_count(node_count);
    writer->Write(response);
    for (int i = 0; i < 2; ++i) {
      response.mutable_nodes()->clear_nodes();
      response.mutable_nodes()->add_nodes()->set_index(i);
      writer->Write(response);
    }
    while (waits_for_cancel && !context->IsCancelled()) {
      std::this_thread::yield();
    }
    saw_cancel = context->IsCancelled();
    response.mutable_edges()->add_targets(1);
    response.mutable_edges()->add_source_counts(1);
    response.mutable_edges()->add_sources(0);
    response.mutable_edges()->add_values(0.5f);
    writer->Write(response);
    response.mutable_summary()->set_edge_count(edge_count);
    if (sums_up) writer->Write(response);
    return grpc::Status::OK;
  }
};

// Two pages of one decomposition each; prompts of one token and no entries.
class FakeDecompositions final : public v1::DecompositionService::Service {
 public:
  int prompts_sent = 2;

  grpc::Status ListDecompositions(
      grpc::ServerContext*,
      const v1::ListDecompositionsRequest* request,
      v1::ListDecompositionsResponse* response) override {
    const bool first = request->page_token().empty();
    response->add_decompositions()->set_name(request->parent() +
                                             (first ? "/a" : "/b"));
    if (first) response->set_next_page_token("next");
    return grpc::Status::OK;
  }

  grpc::Status Importances(
      grpc::ServerContext*,
      const v1::ImportancesRequest*,
      grpc::ServerWriter<v1::ImportancesResponse>* writer) override {
    v1::ImportancesResponse response;
    response.mutable_start()->set_prompt_count(2);
    writer->Write(response);
    for (int i = 0; i < prompts_sent; ++i) {
      response.mutable_importances()->Clear();
      response.mutable_importances()->set_prompt(i);
      response.mutable_importances()->set_token_count(1);
      response.mutable_importances()->add_tokens();
      writer->Write(response);
    }
    return grpc::Status::OK;
  }
};

// Sends `messages`.
class FakePrunings final : public v1::PruningService::Service {
 public:
  std::vector<v1::PruneResponse> messages = SampleMessages();
  bool waits_for_cancel = false;

  grpc::Status Prune(grpc::ServerContext* context,
                     const v1::PruneRequest*,
                     grpc::ServerWriter<v1::PruneResponse>* writer) override {
    for (const v1::PruneResponse& message : messages) writer->Write(message);
    while (waits_for_cancel && !context->IsCancelled()) {
      std::this_thread::yield();
    }
    return grpc::Status::OK;
  }
};

class ClientTest : public testing::Test {
 protected:
  ClientTest() {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterService(&models_);
    builder.RegisterService(&explanations_);
    builder.RegisterService(&decompositions_);
    builder.RegisterService(&prunings_);
    server_ = builder.BuildAndStart();
    options_.target = base::Cat("127.0.0.1:", port_);
  }

  // Also proves that no call of a test is left behind.
  ~ClientTest() override { server_->Shutdown(); }

  int port_ = 0;
  FakeModels models_;
  FakeExplanations explanations_;
  FakeDecompositions decompositions_;
  FakePrunings prunings_;
  std::unique_ptr<grpc::Server> server_;
  ClientOptions options_;
};

TEST_F(ClientTest, PutsAGraphTogether) {
  int num_messages = 0;
  const auto graph = Client(options_).Attribute(
      {}, [&](const v1::AttributeResponse&) { ++num_messages; });
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(num_messages, 5);
  EXPECT_EQ(graph->header().node_count(), 2);
  ASSERT_EQ(graph->nodes_size(), 2);
  EXPECT_EQ(graph->nodes(1).index(), 1);
  ASSERT_EQ(graph->edges_size(), 1);
  EXPECT_EQ(graph->edges(0).values(0), 0.5f);
  EXPECT_EQ(graph->summary().edge_count(), 1);
}

TEST_F(ClientTest, NoticesWhatAGraphLacks) {
  explanations_.node_count = 3;
  EXPECT_TRUE(
      absl::IsDataLoss(Client(options_).Attribute({}, nullptr).status()));
  explanations_.node_count = 2;
  explanations_.edge_count = 2;
  EXPECT_TRUE(
      absl::IsDataLoss(Client(options_).Attribute({}, nullptr).status()));
  explanations_.edge_count = 1;
  explanations_.sums_up = false;
  EXPECT_TRUE(
      absl::IsDataLoss(Client(options_).Attribute({}, nullptr).status()));
}

TEST_F(ClientTest, CancelsAGraph) {
  explanations_.waits_for_cancel = true;
  std::stop_source stop;
  const auto graph = Client(options_).Attribute(
      {},
      [&](const v1::AttributeResponse& message) {
        if (message.has_nodes()) stop.request_stop();
      },
      stop.get_token());
  EXPECT_TRUE(absl::IsCancelled(graph.status()));
}

TEST_F(ClientTest, ReadsEveryPageOfModels) {
  models_.names = {"models/a", "models/b", "models/c"};
  const auto models = Client(options_).ListModels();
  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_EQ(models->size(), 3u);
  EXPECT_EQ((*models)[2].name(), "models/c");
}

TEST_F(ClientTest, ReadsEveryPageOfDecompositions) {
  const auto found = Client(options_).ListDecompositions("models/m");
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->size(), 2u);
  EXPECT_EQ((*found)[1].name(), "models/m/b");
}

TEST_F(ClientTest, GivesEveryMessageOfImportancesAndNoticesWhatIsMissing) {
  int num_messages = 0;
  const auto count = [&](const v1::ImportancesResponse&) { ++num_messages; };
  EXPECT_TRUE(Client(options_).Importances({}, count).ok());
  EXPECT_EQ(num_messages, 3);
  decompositions_.prompts_sent = 1;
  EXPECT_TRUE(absl::IsDataLoss(Client(options_).Importances({}, count)));
  decompositions_.prompts_sent = 3;
  num_messages = 0;
  EXPECT_TRUE(absl::IsDataLoss(Client(options_).Importances({}, count)));
  EXPECT_EQ(num_messages, 3);
}

TEST_F(ClientTest, PutsAPruningTogether) {
  int num_messages = 0;
  const auto answer = Client(options_).Prune(
      {}, [&](const v1::PruneResponse&) { ++num_messages; });
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(num_messages, 6);
  EXPECT_EQ(answer->rows.size(), 3u);
  EXPECT_EQ(answer->summary.curves_size(), 1);
}

TEST_F(ClientTest, NoticesWhatAPruningLacks) {
  v1::PruneRequest request;
  request.mutable_crystallize();
  EXPECT_TRUE(
      absl::IsDataLoss(Client(options_).Prune(request, nullptr).status()));
  prunings_.messages.pop_back();
  EXPECT_TRUE(absl::IsDataLoss(Client(options_).Prune({}, nullptr).status()));
  prunings_.messages.erase(prunings_.messages.begin());
  EXPECT_TRUE(absl::IsDataLoss(Client(options_).Prune({}, nullptr).status()));
}

TEST_F(ClientTest, CancelsAPruning) {
  prunings_.messages.pop_back();
  prunings_.waits_for_cancel = true;
  std::stop_source stop;
  const auto answer = Client(options_).Prune(
      {},
      [&](const v1::PruneResponse& message) {
        if (message.has_row()) stop.request_stop();
      },
      stop.get_token());
  EXPECT_TRUE(absl::IsCancelled(answer.status()));
}

TEST_F(ClientTest, TakesTheOnlyModelForTheOneNotNamed) {
  EXPECT_EQ(Client(options_).GetModel("")->name(), "models/only");
  EXPECT_EQ(Client(options_).GetModel("x")->name(), "models/x");
  EXPECT_EQ(Client(options_).GetModel("models/x")->name(), "models/x");
}

TEST_F(ClientTest, NamesTheModelsWhereOneMustBeChosen) {
  models_.names = {"models/a", "models/b"};
  const absl::Status error = Client(options_).GetModel("").status();
  EXPECT_EQ(error.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(base::DetailOf(error)->reason, "SEVERAL_MODELS");
  EXPECT_EQ(base::DetailOf(error)->metadata.at("models"), "models/a, models/b");
  models_.names = {};
  EXPECT_EQ(base::DetailOf(Client(options_).GetModel("").status())->reason,
            "NO_MODEL");
}

TEST_F(ClientTest, DecodesRichErrors) {
  const absl::Status error = Client(options_).Predict({}).status();
  EXPECT_EQ(error.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(base::MessageOf(error), "token 7 of 5");
  const auto detail = base::DetailOf(error);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->reason, "TOKEN_OUT_OF_RANGE");
  EXPECT_EQ(detail->field, "prompt.tokens.ids[0]");
  EXPECT_EQ(detail->metadata.at("token"), "7");
}

TEST_F(ClientTest, EndsACallAtItsDeadline) {
  options_.unary_timeout = std::chrono::milliseconds(50);
  EXPECT_EQ(Client(options_).Tokenize({}).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ClientTest, GivesEveryEventThenTheExplanation) {
  std::vector<int64_t> seen;
  const auto explanation = Client(options_).Crystallize(
      {}, [&](const v1::CrystallizeEvent& e) { seen.push_back(e.sequence()); });
  ASSERT_TRUE(explanation.ok()) << explanation.status();
  EXPECT_EQ(explanation->margin(), 1.5);
  EXPECT_THAT(seen, ElementsAre(1, 2));
}

TEST_F(ClientTest, NoticesAMissingEvent) {
  explanations_.sequences = {1, 3};
  EXPECT_EQ(Client(options_).Crystallize({}, nullptr).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(ClientTest, NoticesAMissingExplanation) {
  explanations_.explains = false;
  EXPECT_EQ(Client(options_).Crystallize({}, nullptr).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(ClientTest, CancelsTheSearchOnTheServer) {
  explanations_.waits_for_cancel = true;
  std::stop_source stop;
  const absl::Status status = Client(options_)
                                  .Crystallize(
                                      {},
                                      [&](const v1::CrystallizeEvent& event) {
                                        if (event.sequence() == 2)
                                          stop.request_stop();
                                      },
                                      stop.get_token())
                                  .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  server_->Shutdown();  // waits for the handler
  EXPECT_TRUE(explanations_.saw_cancel);
}

TEST_F(ClientTest, CancelsASearchThatHasNotBegun) {
  explanations_.waits_for_cancel = true;
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(Client(options_)
                .Crystallize({}, nullptr, stop.get_token())
                .status()
                .code(),
            absl::StatusCode::kCancelled);
}

TEST_F(ClientTest, GivesASearchTheDeadlineThatWasAskedFor) {
  explanations_.waits_for_cancel = true;
  options_.search_timeout = std::chrono::milliseconds(50);
  EXPECT_EQ(Client(options_).Crystallize({}, nullptr).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ClientTest, WaitsUntilTheServerServes) {
  server_->GetHealthCheckService()->SetServingStatus(false);
  Client client(options_);
  absl::Status status = absl::UnknownError("not yet");
  std::thread waiting([&] { status = client.WaitUntilServing("", kPatience); });
  server_->GetHealthCheckService()->SetServingStatus(true);
  waiting.join();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(ClientTest, GivesUpOnAServerThatNeverServes) {
  server_->GetHealthCheckService()->SetServingStatus(false);
  EXPECT_EQ(Client(options_)
                .WaitUntilServing("", std::chrono::milliseconds(50))
                .code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ClientTest, DoesNotWaitForAServiceThatIsUnknown) {
  EXPECT_EQ(Client(options_).WaitUntilServing("nobody", kPatience).code(),
            absl::StatusCode::kNotFound);
}

TEST(Client, SaysThatNobodyListens) {
  // Bound, so nobody else gets the port, but not listening.
  const int holder = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(bind(holder, generic, size), 0);
  ASSERT_EQ(getsockname(holder, generic, &size), 0);
  ClientOptions options;
  options.target = base::Cat("127.0.0.1:", ntohs(address.sin_port));
  EXPECT_EQ(Client(options).ListModels().status().code(),
            absl::StatusCode::kUnavailable);
  close(holder);
}

TEST(DecompositionName, IsMadeOfModelAndName) {
  EXPECT_EQ(DecompositionName("demo/main"), "models/demo/decompositions/main");
  EXPECT_EQ(DecompositionName("models/demo/decompositions/main"),
            "models/demo/decompositions/main");
  EXPECT_EQ(DecompositionName("models/demo"), "models/demo");
  EXPECT_EQ(DecompositionName("main"), "main");
}

TEST(UnpackIds, AddsUpDifferences) {
  google::protobuf::RepeatedField<int32_t> deltas;
  for (const int delta : {0, 1, 5, 100}) deltas.Add(delta);
  EXPECT_THAT(UnpackIds(deltas).value(), ElementsAre(0, 1, 6, 106));
}

TEST(UnpackIds, RefusesWhatDoesNotAscend) {
  const std::vector<std::vector<int>> wrong = {
      {-1}, {3, 0}, {3, -2}, {2147483647, 1}};
  for (const std::vector<int>& values : wrong) {
    google::protobuf::RepeatedField<int32_t> deltas(values.begin(),
                                                    values.end());
    EXPECT_EQ(UnpackIds(deltas).status().code(), absl::StatusCode::kDataLoss);
  }
}

}  // namespace
}  // namespace spar::client
