// The Crystallize stream and Verify over a scripted explainer.
#include <algorithm>
#include <chrono>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include <grpcpp/create_channel.h>

#include "base/status.h"
#include "tests/service/rich_error.h"
#include "tests/service/served_model.h"

namespace spar::service {
namespace {

using testing::Decode;
using testing::RichError;

search::Event MakeEvent(int64_t sequence) {
  search::Event event;
  event.sequence = sequence;
  event.phase = search::Phase::kDeletion;
  event.units.resize(24);
  std::iota(event.units.begin(), event.units.end(), 0);
  event.positions = {0};
  event.margin = 1;
  return event;
}

v1::CrystallizeRequest MakeRequest() {
  v1::CrystallizeRequest request;
  request.set_model("models/toy");
  request.mutable_prompt()->set_text("t3 t7");
  return request;
}

// One stream as a client sees it.
class Stream {
 public:
  Stream(v1::ExplanationService::Stub* stub,
         const v1::CrystallizeRequest& request,
         std::chrono::system_clock::time_point deadline =
             std::chrono::system_clock::time_point::max()) {
    context_.set_deadline(deadline);
    reader_ = stub->Crystallize(&context_, request);
  }

  // Reads to the end: sequence numbers, then the explanation if one comes.
  grpc::Status ReadAll() {
    v1::CrystallizeResponse response;
    while (reader_->Read(&response)) {
      if (response.has_event()) {
        sequences_.push_back(response.event().sequence());
      } else {
        explanation_ = response.explanation();
      }
    }
    return reader_->Finish();
  }
  int64_t ReadOne() {
    v1::CrystallizeResponse response;
    return reader_->Read(&response) ? response.event().sequence() : -1;
  }
  void Cancel() { context_.TryCancel(); }

  const std::vector<int64_t>& sequences() const { return sequences_; }
  const v1::Explanation& explanation() const { return explanation_; }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::CrystallizeResponse>> reader_;
  std::vector<int64_t> sequences_;
  v1::Explanation explanation_;
};

std::vector<int64_t> UpTo(int64_t last) {
  std::vector<int64_t> numbers(static_cast<size_t>(last));
  std::iota(numbers.begin(), numbers.end(), 1);
  return numbers;
}

class CrystallizeTest : public testing::ServedModelTest {
 protected:
  void SetUp() override {
    ServedModelTest::SetUp();
    Serve();
  }
  // Clients of the real port, where HTTP/2 flow control holds.
  void UseLoopback() {
    channel_ = grpc::CreateChannel(base::Cat("127.0.0.1:", server_->port()),
                                   grpc::InsecureChannelCredentials());
    explanations_ = v1::ExplanationService::NewStub(channel_);
  }
  grpc::Status Answer(const v1::CrystallizeRequest& request) {
    return Stream(explanations_.get(), request).ReadAll();
  }
};

TEST_F(CrystallizeTest, StreamsEveryEventAndThenTheExplanation) {
  Stream stream(explanations_.get(), MakeRequest());
  const search::Question question = explainer_->AwaitStart(1);
  EXPECT_EQ(question.tokens, (std::vector<models::TokenId>{3, 7}));
  for (int64_t i = 1; i <= 3; ++i) explainer_->Emit(1, MakeEvent(i));
  search::Explanation explanation;
  explanation.verdict = search::Verdict::kCrystallized;
  explanation.tokens = question.tokens;
  explanation.units = {1, 2};
  explainer_->End(1, explanation);
  EXPECT_TRUE(stream.ReadAll().ok());
  EXPECT_EQ(stream.sequences(), UpTo(3));
  EXPECT_EQ(stream.explanation().verdict(), v1::VERDICT_CRYSTALLIZED);
  EXPECT_EQ(stream.explanation().units_size(), 2);
}

TEST_F(CrystallizeTest, EndsWithTheSearchsErrorAfterItsEvents) {
  Stream stream(explanations_.get(), MakeRequest());
  explainer_->AwaitStart(1);
  explainer_->Emit(1, MakeEvent(1));
  explainer_->End(
      1, base::Error(absl::StatusCode::kResourceExhausted, "a row does not fit",
                     {.reason = "ROW_TOO_LARGE"}));
  const grpc::Status status = stream.ReadAll();
  EXPECT_EQ(stream.sequences(), UpTo(1));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Decode(status).reason, "ROW_TOO_LARGE");
}

TEST_F(CrystallizeTest, PassesOnTheExplainersRefusal) {
  explainer_->RefuseNext(base::Error(absl::StatusCode::kResourceExhausted,
                                     "256 searches are live",
                                     {.reason = "TOO_MANY_SEARCHES"}));
  const grpc::Status status = Answer(MakeRequest());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  const RichError error = Decode(status);
  EXPECT_EQ(error.reason, "TOO_MANY_SEARCHES");
  EXPECT_GT(error.retry_seconds, 0);
}

TEST_F(CrystallizeTest, RefusesEveryBadFieldBeforeAnySearch) {
  const auto expect = [&](const v1::CrystallizeRequest& request,
                          const std::string& reason, const std::string& field) {
    const grpc::Status status = Answer(request);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    const RichError error = Decode(status);
    EXPECT_EQ(error.reason, reason);
    EXPECT_EQ(error.field, field);
  };
  v1::CrystallizeRequest request = MakeRequest();
  request.set_model("toy");
  expect(request, "BAD_RESOURCE_NAME", "model");
  request = MakeRequest();
  request.clear_prompt();
  expect(request, "EMPTY_PROMPT", "prompt");
  request = MakeRequest();
  request.set_target_id(1'000);
  expect(request, "TOKEN_OUT_OF_RANGE", "target_id");
  request = MakeRequest();
  request.set_target_text("t1 t2");
  expect(request, "NOT_ONE_TOKEN", "target_text");
  request = MakeRequest();
  request.mutable_options()->set_tau(-1);
  expect(request, "OPTION_OUT_OF_RANGE", "options.tau");
  request = MakeRequest();
  request.set_model("models/none");
  EXPECT_EQ(Answer(request).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(CrystallizeTest, CancelsTheSearchWhenTheClientCancels) {
  Stream stream(explanations_.get(), MakeRequest());
  explainer_->AwaitStart(1);
  explainer_->Emit(1, MakeEvent(1));
  EXPECT_EQ(stream.ReadOne(), 1);
  stream.Cancel();
  explainer_->AwaitCancel(1);
  EXPECT_FALSE(explainer_->Emit(1, MakeEvent(2)));
  EXPECT_EQ(stream.ReadAll().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(CrystallizeTest, CancelsTheSearchWhenTheDeadlinePasses) {
  Stream stream(
      explanations_.get(), MakeRequest(),
      std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  explainer_->AwaitStart(1);
  explainer_->AwaitCancel(1);
  EXPECT_EQ(stream.ReadAll().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(CrystallizeTest, CancelsTheSearchWhenTheClientDisappears) {
  UseLoopback();
  {
    Stream stream(explanations_.get(), MakeRequest());
    explainer_->AwaitStart(1);
  }  // the stream is dropped unread
  explainer_->AwaitCancel(1);
}

TEST_F(CrystallizeTest, KeepsEveryEventForAClientThatReadsLate) {
  UseLoopback();
  Stream stream(explanations_.get(), MakeRequest());
  explainer_->AwaitStart(1);
  // All of them before the client reads one: the search never waits.
  for (int64_t i = 1; i <= 500; ++i) {
    ASSERT_TRUE(explainer_->Emit(1, MakeEvent(i)));
  }
  search::Explanation explanation;
  explanation.tokens = {3, 7};
  explainer_->End(1, explanation);
  EXPECT_TRUE(stream.ReadAll().ok());
  EXPECT_EQ(stream.sequences(), UpTo(500));
}

TEST_F(CrystallizeTest, ServesManyStreamsAtOnce) {
  UseLoopback();
  constexpr int kStreams = 32;
  std::vector<std::thread> clients;
  std::vector<std::vector<int64_t>> seen(kStreams);
  for (int c = 0; c < kStreams; ++c) {
    clients.emplace_back([&, c] {
      Stream stream(explanations_.get(), MakeRequest());
      EXPECT_TRUE(stream.ReadAll().ok());
      seen[c] = stream.sequences();
    });
  }
  for (int id = 1; id <= kStreams; ++id) {
    explainer_->AwaitStart(id);
    for (int64_t i = 1; i <= id; ++i) explainer_->Emit(id, MakeEvent(i));
    search::Explanation explanation;
    explanation.tokens = {3, 7};
    explainer_->End(id, explanation);
  }
  for (std::thread& client : clients) client.join();
  std::vector<int64_t> counts;
  for (const std::vector<int64_t>& sequences : seen) {
    EXPECT_EQ(sequences, UpTo(static_cast<int64_t>(sequences.size())));
    counts.push_back(static_cast<int64_t>(sequences.size()));
  }
  std::sort(counts.begin(), counts.end());
  EXPECT_EQ(counts, UpTo(kStreams));
}

class SlowReaderTest : public CrystallizeTest {
 protected:
  void SetUp() override {
    ServedModelTest::SetUp();
    ServerOptions options;
    options.explanations.max_queued_event_bytes = 256 * 1024;
    Serve(options);
    UseLoopback();
  }
};

TEST_F(SlowReaderTest, EndsTheCallWithoutAGap) {
  Stream stream(explanations_.get(), MakeRequest());
  explainer_->AwaitStart(1);
  // Until flow control has stopped the writes and the queue has filled.
  int64_t sequence = 0;
  while (explainer_->Emit(1, MakeEvent(++sequence))) {
  }
  const grpc::Status status = stream.ReadAll();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  const RichError error = Decode(status);
  EXPECT_EQ(error.reason, "SLOW_READER");
  EXPECT_EQ(error.metadata.at("max_queued_bytes"), "262144");
  EXPECT_LT(stream.sequences().size(), static_cast<size_t>(sequence));
  EXPECT_EQ(stream.sequences(),
            UpTo(static_cast<int64_t>(stream.sequences().size())));
}

TEST_F(CrystallizeTest, VerifiesACertificate) {
  search::Verification verification;
  verification.verdict = search::CertificateVerdict::kInvalid;
  verification.findings = {"the margin without a unit passes: \xFF"};
  verification.margin = 0.25;
  verification.rows = 12;
  explainer_->set_verification(verification);
  grpc::ClientContext context;
  v1::VerifyRequest request;
  request.set_model("models/toy");
  request.set_certificate_json("{\"a\":1}");
  v1::VerifyResponse response;
  ASSERT_TRUE(explanations_->Verify(&context, request, &response).ok());
  EXPECT_EQ(explainer_->last_certificate(), "{\"a\":1}");
  EXPECT_EQ(response.verdict(), v1::CERTIFICATE_VERDICT_INVALID);
  EXPECT_EQ(response.findings(0), "the margin without a unit passes: ?");
  EXPECT_EQ(response.margin(), 0.25);
  EXPECT_EQ(response.row_count(), 12);
}

TEST_F(CrystallizeTest, TellsWhatIsWrongWithAVerifyRequest) {
  explainer_->set_verification(
      base::InvalidArgument("BAD_CERTIFICATE", "certificate_json", "no JSON"));
  v1::VerifyRequest request;
  v1::VerifyResponse response;
  {
    grpc::ClientContext context;
    const RichError error =
        Decode(explanations_->Verify(&context, request, &response));
    EXPECT_EQ(error.reason, "BAD_RESOURCE_NAME");
    EXPECT_EQ(error.field, "model");
  }
  request.set_model("models/toy");
  grpc::ClientContext context;
  const grpc::Status status =
      explanations_->Verify(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Decode(status).reason, "BAD_CERTIFICATE");
}

}  // namespace
}  // namespace spar::service
