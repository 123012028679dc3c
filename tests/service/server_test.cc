// Health, reflection, draining, and the port.
#include "server/service/server.h"

#include <future>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include <google/protobuf/wrappers.pb.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>

#include "base/status.h"
#include "tests/service/rich_error.h"
#include "tests/service/served_model.h"

namespace spar::service {
namespace {

using testing::Decode;
using testing::RichError;

// HealthCheckRequest and HealthCheckResponse on the wire: field 1 is a string,
// field 1 is an enum.
using HealthRequest = google::protobuf::StringValue;
using HealthResponse = google::protobuf::Int32Value;
using HealthStub = grpc::TemplatedGenericStub<HealthRequest, HealthResponse>;
constexpr int kServing = 1;
constexpr int kNotServing = 2;
constexpr int kServiceUnknown = 3;

class ServerTest : public testing::ServedModelTest {
 protected:
  // The state, or minus the error's code.
  int Check(const std::string& service) {
    grpc::ClientContext context;
    HealthRequest request;
    request.set_value(service);
    HealthResponse response;
    std::promise<grpc::Status> done;
    HealthStub(channel_).UnaryCall(
        &context, "/grpc.health.v1.Health/Check", grpc::StubOptions(), &request,
        &response, [&](grpc::Status status) { done.set_value(status); });
    const grpc::Status status = done.get_future().get();
    return status.ok() ? response.value() : -status.error_code();
  }

  // How a call of this method ends that the client ends at once.
  grpc::StatusCode Probe(const std::string& method) {
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    auto call = HealthStub(channel_).PrepareCall(&context, method, &queue);
    grpc::Status status;
    void* tag = nullptr;
    bool ok = false;
    call->StartCall(nullptr);
    queue.Next(&tag, &ok);
    call->WritesDone(nullptr);
    queue.Next(&tag, &ok);
    call->Finish(&status, nullptr);
    queue.Next(&tag, &ok);
    return status.error_code();
  }
};

// A Health.Watch stream.
class Watch {
 public:
  Watch(const std::shared_ptr<grpc::Channel>& channel,
        const std::string& service) {
    HealthRequest request;
    request.set_value(service);
    call_ = HealthStub(channel).PrepareCall(
        &context_, "/grpc.health.v1.Health/Watch", &queue_);
    call_->StartCall(nullptr);
    Next();
    call_->WriteLast(request, grpc::WriteOptions(), nullptr);
    Next();
  }
  ~Watch() {
    context_.TryCancel();
    grpc::Status status;
    call_->Finish(&status, nullptr);
    Next();
  }
  int Read() {
    HealthResponse response;
    call_->Read(&response, nullptr);
    return Next() ? response.value() : -1;
  }

 private:
  bool Next() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<HealthRequest, HealthResponse>>
      call_;
};

TEST_F(ServerTest, ReportsHealthOfItselfItsServicesAndItsModels) {
  Serve();
  EXPECT_EQ(Check(""), kServing);
  EXPECT_EQ(Check("spar.v1.ModelService"), kServing);
  EXPECT_EQ(Check("spar.v1.ExplanationService"), kServing);
  EXPECT_EQ(Check("spar.v1.DecompositionService"), kServing);
  EXPECT_EQ(Check("models/toy"), kServing);
  EXPECT_EQ(Check("models/none"), -grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServerTest, TellsWatchersThatItStops) {
  Serve();
  Watch server(channel_, "");
  Watch model(channel_, "models/toy");
  Watch unknown(channel_, "models/none");
  EXPECT_EQ(server.Read(), kServing);
  EXPECT_EQ(model.Read(), kServing);
  EXPECT_EQ(unknown.Read(), kServiceUnknown);
  server_->Drain();
  EXPECT_EQ(server.Read(), kNotServing);
  EXPECT_EQ(model.Read(), kNotServing);
}

TEST_F(ServerTest, OffersReflectionUnlessToldNotTo) {
  const std::string method =
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  Serve();
  EXPECT_EQ(Probe(method), grpc::StatusCode::OK);
  ServerOptions options;
  options.reflection = false;
  Serve(options);
  EXPECT_EQ(Probe(method), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(Check(""), kServing);
}

TEST_F(ServerTest, RefusesNewCallsWhileTheOldOnesEnd) {
  Serve();
  v1::CrystallizeRequest request;
  request.set_model("models/toy");
  request.mutable_prompt()->set_text("t3 t7");
  grpc::ClientContext context;
  auto stream = explanations_->Crystallize(&context, request);
  explainer_->AwaitStart(1);
  server_->Drain();
  EXPECT_EQ(Check(""), kNotServing);

  grpc::ClientContext list_context;
  v1::ListModelsResponse list;
  const grpc::Status list_status =
      models_->ListModels(&list_context, v1::ListModelsRequest(), &list);
  EXPECT_EQ(list_status.error_code(), grpc::StatusCode::UNAVAILABLE);
  const RichError error = Decode(list_status);
  EXPECT_EQ(error.reason, "DRAINING");
  EXPECT_GT(error.retry_seconds, 0);
  grpc::ClientContext late_context;
  v1::CrystallizeResponse response;
  auto late = explanations_->Crystallize(&late_context, request);
  EXPECT_FALSE(late->Read(&response));
  EXPECT_EQ(Decode(late->Finish()).reason, "DRAINING");

  EXPECT_FALSE(server_->WaitUntilIdle(std::chrono::steady_clock::now()));
  search::Explanation explanation;
  explanation.tokens = {3, 7};
  explainer_->End(1, explanation);
  EXPECT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.has_explanation());
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_TRUE(server_->WaitUntilIdle(std::chrono::steady_clock::now() +
                                     std::chrono::seconds(60)));
}

TEST_F(ServerTest, CancelsWhatIsLeftWhenItGoes) {
  Serve();
  v1::CrystallizeRequest request;
  request.set_model("models/toy");
  request.mutable_prompt()->set_text("t3 t7");
  grpc::ClientContext context;
  auto stream = explanations_->Crystallize(&context, request);
  explainer_->AwaitStart(1);
  server_.reset();
  explainer_->AwaitCancel(1);
  EXPECT_FALSE(stream->Finish().ok());
}

TEST_F(ServerTest, CountsCallsByMethodAndCode) {
  base::Mutex mu;
  std::map<std::string, int> ended;
  ServerOptions options;
  options.on_call_end = [&](std::string_view method, grpc::StatusCode code) {
    base::MutexLock lock(mu);
    ++ended[base::Cat(method, " ", static_cast<int>(code))];
  };
  Serve(options);
  for (const char* name : {"models/toy", "models/none"}) {
    grpc::ClientContext context;
    v1::GetModelRequest request;
    request.set_name(name);
    v1::GetModelResponse response;
    models_->GetModel(&context, request, &response);
  }
  EXPECT_TRUE(server_->WaitUntilIdle(std::chrono::steady_clock::now() +
                                     std::chrono::seconds(60)));
  base::MutexLock lock(mu);
  EXPECT_EQ(ended["spar.v1.ModelService/GetModel 0"], 1);
  EXPECT_EQ(ended["spar.v1.ModelService/GetModel 5"], 1);
}

TEST_F(ServerTest, TellsWhenItsPortIsTaken) {
  Serve();
  ServerOptions options;
  options.listen = base::Cat("127.0.0.1:", server_->port());
  const auto second = Server::Start(&registry_, options);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(base::DetailOf(second.status())->reason, "CANNOT_LISTEN");
}

TEST_F(ServerTest, SendsLongErrorsWholeOverARealConnection) {
  Serve();
  auto stub = v1::ModelService::NewStub(
      grpc::CreateChannel(base::Cat("127.0.0.1:", server_->port()),
                          grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::TokenizeRequest request;
  request.set_model("models/toy");
  std::string word = "x";
  for (int i = 0; i < 50'000; ++i) word += "\xE2\x82\xAC";
  request.set_text(word);
  v1::TokenizeResponse response;
  const grpc::Status status = stub->Tokenize(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Decode(status).reason, "UNENCODABLE_TEXT");
  EXPECT_EQ(Decode(status).field, "text");
}

}  // namespace
}  // namespace spar::service
