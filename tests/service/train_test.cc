// DecompositionService.Train over a host that only counts.
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "base/status.h"
#include "server/service/limits.h"
#include "server/service/training_to_proto.h"
#include "spar/v1/decomposition_service.grpc.pb.h"
#include "tests/service/rich_error.h"
#include "tests/service/served_model.h"
#include "tests/service/step_host.h"

namespace spar::service {
namespace {

using testing::StepHost;

struct TrainStream {
  grpc::Status status = {};
  std::vector<v1::TrainResponse> messages = {};
};

class TrainTest : public testing::ServedModelTest {
 protected:
  void SetUp() override {
    ServedModelTest::SetUp();
    Serve({.trainings = &host_});
    stub_ = v1::DecompositionService::NewStub(channel_);
    request_.set_model("models/toy");
    request_.set_config_json("{}");
  }
  void TearDown() override { server_ = nullptr; }

  TrainStream Train() {
    TrainStream answer;
    grpc::ClientContext context;
    const auto stream = stub_->Train(&context, request_);
    v1::TrainResponse response;
    while (stream->Read(&response)) answer.messages.push_back(response);
    answer.status = stream->Finish();
    return answer;
  }

  void ExpectRefusal(grpc::StatusCode code,
                     const std::string& reason,
                     const std::string& field) {
    const grpc::Status status = Train().status;
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    const testing::RichError error = testing::Decode(status);
    EXPECT_EQ(error.reason, reason) << error.message;
    EXPECT_EQ(error.field, field) << error.message;
  }

  StepHost host_;
  std::unique_ptr<v1::DecompositionService::Stub> stub_;
  v1::TrainRequest request_;
};

using TrainMessage = v1::TrainResponse;

TEST_F(TrainTest, StreamsStartStepsCheckpointsAndSummary) {
  host_.steps = 4;
  host_.save_every = 2;
  request_.set_config_json("{\"a\": 1}");
  request_.set_resume(true);
  const TrainStream answer = Train();
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  std::vector<int> kinds;
  for (const TrainMessage& message : answer.messages) {
    kinds.push_back(message.content_case());
  }
  EXPECT_EQ(kinds, (std::vector<int>{
                       TrainMessage::kStart, TrainMessage::kProgress,
                       TrainMessage::kProgress, TrainMessage::kCheckpoint,
                       TrainMessage::kProgress, TrainMessage::kProgress,
                       TrainMessage::kCheckpoint, TrainMessage::kSummary}));
  EXPECT_EQ(host_.order().config_json, "{\"a\": 1}");
  EXPECT_TRUE(host_.order().resume);
  const v1::TrainingStart& start = answer.messages[0].start();
  EXPECT_EQ(start.model(), "models/toy");
  EXPECT_EQ(start.model_digest(), explainer_->info().digest);
  EXPECT_EQ(start.config_digest(), "configuration");
  EXPECT_EQ(start.out_dir(), "runs/a");
  EXPECT_EQ(answer.messages[4].progress().step_count(), 3);
  EXPECT_TRUE(answer.messages[4].progress().is_logged());
  EXPECT_EQ(answer.messages[3].checkpoint().step_count(), 2);
  EXPECT_EQ(answer.messages[3].checkpoint().path(), "runs/a/checkpoints/2");
  const v1::TrainingSummary& summary = answer.messages[7].summary();
  EXPECT_EQ(summary.decomposition_path(), "runs/a/decomposition");
  EXPECT_EQ(summary.decomposition_digest(), "made");
  EXPECT_TRUE(summary.has_elapsed());
}

TEST_F(TrainTest, TellsOfUnloggedStepsAFewInASecond) {
  host_.steps = 1'000;
  host_.logged = false;
  const TrainStream answer = Train();
  ASSERT_TRUE(answer.status.ok());
  EXPECT_LT(answer.messages.size(), 100u);
  EXPECT_GE(answer.messages.size(), 3u);  // the first step at least
}

TEST_F(TrainTest, RefusesBadRequests) {
  using enum grpc::StatusCode;
  request_.set_config_json("");
  ExpectRefusal(INVALID_ARGUMENT, "EMPTY_CONFIG", "config_json");
  request_.set_config_json(std::string(kMaxTextBytes + 1, ' '));
  ExpectRefusal(INVALID_ARGUMENT, "TEXT_TOO_LONG", "config_json");
  request_.set_config_json("{}");
  request_.set_model("models/other");
  ExpectRefusal(NOT_FOUND, "MODEL_NOT_FOUND", "");
  request_.set_model("");
  ExpectRefusal(INVALID_ARGUMENT, "BAD_RESOURCE_NAME", "model");
  request_.set_model("models/toy");
  host_.refusal =
      base::InvalidArgument("BAD_TRAIN_CONFIG", "config_json.steps", "is none");
  ExpectRefusal(INVALID_ARGUMENT, "BAD_TRAIN_CONFIG", "config_json.steps");
  // No refusal keeps the one place.
  host_.refusal = absl::OkStatus();
  EXPECT_TRUE(Train().status.ok());
}

TEST_F(TrainTest, NobodyTrainsWithoutAHost) {
  Serve();
  stub_ = v1::DecompositionService::NewStub(channel_);
  ExpectRefusal(grpc::StatusCode::FAILED_PRECONDITION, "TRAINING_DISABLED", "");
}

TEST_F(TrainTest, ACancelledTrainingStopsAndFreesItsPlace) {
  host_.steps = StepHost::kEndless;
  grpc::ClientContext context;
  const auto stream = stub_->Train(&context, request_);
  TrainMessage response;
  ASSERT_TRUE(stream->Read(&response));
  ExpectRefusal(grpc::StatusCode::RESOURCE_EXHAUSTED, "TOO_MANY_CALLS", "");
  context.TryCancel();
  while (stream->Read(&response)) ASSERT_FALSE(response.has_summary());
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  host_.WaitUntilStopped();
  ASSERT_TRUE(server_->WaitUntilIdle(std::chrono::steady_clock::now() +
                                     std::chrono::seconds(60)));
  host_.steps = 1;
  EXPECT_TRUE(Train().status.ok());
}

TEST_F(TrainTest, TheServersEndStopsATraining) {
  host_.steps = StepHost::kEndless;
  grpc::ClientContext context;
  const auto stream = stub_->Train(&context, request_);
  TrainMessage response;
  ASSERT_TRUE(stream->Read(&response));
  server_ = nullptr;
  host_.WaitUntilStopped();
  while (stream->Read(&response)) ASSERT_FALSE(response.has_summary());
  EXPECT_FALSE(stream->Finish().ok());
}

TEST_F(TrainTest, ASlowClientDelaysNoTraining) {
  constexpr int kSteps = 20'000;
  host_.steps = kSteps;
  grpc::ClientContext context;
  const auto stream = stub_->Train(&context, request_);
  host_.WaitUntilDone();  // nothing is read yet
  TrainMessage response;
  std::vector<TrainMessage> messages;
  while (stream->Read(&response)) messages.push_back(response);
  ASSERT_TRUE(stream->Finish().ok());
  ASSERT_GE(messages.size(), 3u);
  EXPECT_LT(messages.size(), static_cast<size_t>(kSteps));
  EXPECT_TRUE(messages.front().has_start());
  EXPECT_TRUE(messages.back().has_summary());
  // Of what waited the oldest was dropped, not the latest.
  EXPECT_EQ(messages[messages.size() - 2].progress().step_count(), kSteps);
}

TEST(TrainingToProto, TellsEveryNumber) {
  const models::TrainProgress from{
      .step = 3,
      .steps = 10,
      .terms = {{.name = "Loss", .coefficient = 2, .value = 1.5}},
      .total = 3,
      .modules = {{.name = "m", .num_components = 8, .l0 = 2.5, .alive = 4}},
      .rate = 0.01,
      .components_norm = 5,
      .ci_norm = 6,
      .seconds = 0.25,
      .eta_seconds = 1.75};
  v1::TrainingProgress to;
  ToProto(from, &to);
  EXPECT_EQ(to.phase(), v1::TRAINING_PHASE_TRAINING);
  EXPECT_EQ(to.step_count(), 3);
  EXPECT_EQ(to.max_step_count(), 10);
  EXPECT_EQ(to.total_loss(), 3);
  EXPECT_EQ(to.losses(0).name(), "Loss");
  EXPECT_EQ(to.losses(0).coefficient(), 2);
  EXPECT_EQ(to.losses(0).value(), 1.5);
  EXPECT_EQ(to.modules(0).name(), "m");
  EXPECT_EQ(to.modules(0).subcomponent_count(), 8);
  EXPECT_EQ(to.modules(0).mean_l0(), 2.5);
  EXPECT_EQ(to.modules(0).alive_count(), 4);
  EXPECT_EQ(to.learning_rate(), 0.01);
  EXPECT_EQ(to.component_gradient_norm(), 5);
  EXPECT_EQ(to.importance_gradient_norm(), 6);
  EXPECT_EQ(to.step_duration().nanos(), 250'000'000);
  EXPECT_EQ(to.remaining().seconds(), 1);
  EXPECT_EQ(to.remaining().nanos(), 750'000'000);
  v1::TrainingProgress warmup;
  ToProto({.warming_up = true}, &warmup);
  EXPECT_EQ(warmup.phase(), v1::TRAINING_PHASE_WARM_UP);
  EXPECT_FALSE(warmup.has_remaining());
}

}  // namespace
}  // namespace spar::service
