#include "server/web/metrics.h"

#include <string>

#include "gtest/gtest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/status.h"
#include "spar/v1/decomposition_service.grpc.pb.h"
#include "tests/service/served_model.h"
#include "tests/service/step_host.h"

namespace spar::web {
namespace {

// What a plain HTTP GET of this path answers.
std::string Get(int port, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address),
            0);
  const std::string request =
      "GET " + path + " HTTP/1.0\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(write(fd, request.data(), request.size()),
            static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(fd, buffer, sizeof buffer)) > 0;) {
    answer.append(buffer, static_cast<size_t>(n));
  }
  close(fd);
  return answer;
}

class MetricsTest : public testing::ServedModelTest {
 protected:
  void SetUp() override {
    ServedModelTest::SetUp();
    service::ServerOptions options;
    options.trainings = &trainings_;
    options.on_call_end = [this](std::string_view method,
                                 grpc::StatusCode code) {
      calls_.Count(method, code);
    };
    Serve(options);
    const MetricsSources sources{.calls = &calls_,
                                 .ledger = &server_->ledger(),
                                 .registry = &registry_,
                                 .trainings = &server_->trainings()};
    auto metrics = MetricsServer::Start("127.0.0.1:0", sources);
    ASSERT_TRUE(metrics.ok()) << metrics.status();
    metrics_ = *std::move(metrics);
  }
  void TearDown() override {
    metrics_.reset();
    server_.reset();  // it counts into calls_
  }
  bool Has(const std::string& line) {
    return Get(metrics_->port(), "/metrics").find(line + "\n") !=
           std::string::npos;
  }

  CallCounter calls_;
  testing::StepHost trainings_;
  std::unique_ptr<MetricsServer> metrics_;
};

TEST_F(MetricsTest, TellsCallsByMethodAndCode) {
  grpc::ClientContext context;
  v1::GetModelResponse response;
  models_->GetModel(&context, v1::GetModelRequest(), &response);
  ASSERT_TRUE(server_->WaitUntilIdle(std::chrono::steady_clock::now() +
                                     std::chrono::seconds(60)));
  EXPECT_TRUE(
      Has("spar_calls_total{method=\"spar.v1.ModelService/GetModel\","
          "code=\"INVALID_ARGUMENT\"} 1"));
}

TEST_F(MetricsTest, TellsOfTheTrainingInProgress) {
  EXPECT_FALSE(Has("spar_training_total_loss{model=\"toy\"} 1"));
  trainings_.steps = testing::StepHost::kEndless;
  const auto stub = v1::DecompositionService::NewStub(channel_);
  grpc::ClientContext context;
  v1::TrainRequest request;
  request.set_model("models/toy");
  request.set_config_json("{}");
  const auto stream = stub->Train(&context, request);
  v1::TrainResponse response;
  while (!response.has_progress()) ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(Has("spar_training_total_loss{model=\"toy\"} 1"));
  EXPECT_TRUE(Has("spar_training_loss{model=\"toy\",loss=\"Loss\"} 0.5"));
  EXPECT_TRUE(Has("spar_training_l0{model=\"toy\",module=\"m.0\"} 1.5"));
  EXPECT_TRUE(Has("spar_training_alive{model=\"toy\",module=\"m.0\"} 3"));
  EXPECT_TRUE(Has("spar_training_step_seconds{model=\"toy\"} 0.25"));
  const std::string page = Get(metrics_->port(), "/metrics");
  EXPECT_NE(page.find("spar_training_step{model=\"toy\",phase=\"training\"} "),
            std::string::npos);
  EXPECT_NE(page.find("spar_training_steps{model=\"toy\",phase=\"training\"} "),
            std::string::npos);
  context.TryCancel();
  while (stream->Read(&response)) {
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  trainings_.WaitUntilStopped();
  ASSERT_TRUE(server_->WaitUntilIdle(std::chrono::steady_clock::now() +
                                     std::chrono::seconds(60)));
  EXPECT_FALSE(Has("spar_training_total_loss{model=\"toy\"} 1"));
}

TEST_F(MetricsTest, TellsLiveSearches) {
  const std::string live =
      "spar_calls_live{method=\"spar.v1.ExplanationService/Crystallize\"} ";
  v1::CrystallizeRequest request;
  request.set_model("models/toy");
  request.mutable_prompt()->set_text("t1");
  grpc::ClientContext context;
  auto stream = explanations_->Crystallize(&context, request);
  explainer_->AwaitStart(1);
  EXPECT_TRUE(Has(live + "1"));
  context.TryCancel();
  stream->Finish();
  ASSERT_TRUE(server_->WaitUntilIdle(std::chrono::steady_clock::now() +
                                     std::chrono::seconds(60)));
  EXPECT_TRUE(Has(live + "0"));
}

TEST_F(MetricsTest, TellsHowBatchesWereMade) {
  explainer_->set_batch_counters({.batches = 6,
                                  .rows = 40,
                                  .flushed_full = 1,
                                  .flushed_window = 2,
                                  .flushed_idle = 3});
  EXPECT_TRUE(Has("spar_batches_total{model=\"toy\",reason=\"full\"} 1"));
  EXPECT_TRUE(Has("spar_batches_total{model=\"toy\",reason=\"window\"} 2"));
  EXPECT_TRUE(Has("spar_batches_total{model=\"toy\",reason=\"idle\"} 3"));
  EXPECT_TRUE(Has("spar_rows_total{model=\"toy\"} 40"));
}

TEST_F(MetricsTest, TellsWhenItsPortIsTaken) {
  const auto second = MetricsServer::Start(
      base::Cat("127.0.0.1:", metrics_->port()), MetricsSources());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace spar::web
