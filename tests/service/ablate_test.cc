// AblationService over the fake model.
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "spar/v1/ablation_service.grpc.pb.h"
#include "tests/service/rich_error.h"
#include "tests/service/served_model.h"

namespace spar::service {
namespace {

using testing::Decode;
using testing::RichError;

class AblateTest : public testing::ServedModelTest {
 protected:
  void SetUp() override {
    ServedModelTest::SetUp();
    Serve();
    stub_ = v1::AblationService::NewStub(channel_);
    request_.set_model("models/toy");
    for (const int token : {3, 7, 1, 9}) {
      request_.mutable_prompt()->mutable_tokens()->add_ids(token);
    }
  }

  grpc::Status Ablate() {
    grpc::ClientContext context;
    start_.Clear();
    rows_.clear();
    const auto stream = stub_->Ablate(&context, request_);
    v1::AblateResponse response;
    while (stream->Read(&response)) {
      if (response.has_start()) start_ = response.start();
      for (const v1::AblationRow& row : response.rows().rows()) {
        rows_.push_back(row);
      }
    }
    return stream->Finish();
  }

  void ExpectBad(const std::string& reason, const std::string& field) {
    const grpc::Status status = Ablate();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << status.error_message();
    const RichError error = Decode(status);
    EXPECT_EQ(error.reason, reason) << error.message;
    EXPECT_EQ(error.field, field) << error.message;
  }

  std::string NameOf(models::UnitId unit) const {
    return explainer_->units().Name(unit);
  }

  std::unique_ptr<v1::AblationService::Stub> stub_;
  v1::AblateRequest request_;
  v1::AblationStart start_;
  std::vector<v1::AblationRow> rows_;
};

TEST_F(AblateTest, WithoutInterventionsTheRunIsTheModel) {
  ASSERT_TRUE(Ablate().ok());
  EXPECT_EQ(start_.prompt_size(), 4);
  EXPECT_EQ(start_.row_count(), 1);
  ASSERT_EQ(start_.baseline_size(), 1);
  ASSERT_EQ(rows_.size(), 1u);
  EXPECT_FALSE(rows_[0].has_step());
  const v1::AblatedPosition& model = start_.baseline(0);
  const v1::AblatedPosition& run = rows_[0].positions(0);
  EXPECT_EQ(model.position(), 3);
  EXPECT_EQ(model.top_size(), 5);
  EXPECT_EQ(model.target().id(), model.top(0).token().id());
  EXPECT_GT(model.margin(), 0);
  EXPECT_FALSE(model.has_cross_entropy());
  EXPECT_EQ(run.margin(), model.margin());
  EXPECT_EQ(run.kl_divergence(), 0);
}

TEST_F(AblateTest, ASweepHasARowForEachPart) {
  request_.add_swept()->set_part("fake.0.mlp#neuron=*");
  v1::Intervention& head = *request_.add_swept();
  head.set_part("fake.1.attn#head=1");
  head.set_position(3);
  head.set_factor(0.5);
  request_.set_every_position(true);
  ASSERT_TRUE(Ablate().ok());
  const int neurons = explainer_->info().num_neurons;
  EXPECT_EQ(start_.row_count(), neurons + 2);
  ASSERT_EQ(rows_.size(), static_cast<size_t>(neurons) + 2);
  for (int i = 0; i < neurons; ++i) {
    const v1::AblationRow& row = rows_[i + 1];
    EXPECT_EQ(row.step(), i);
    EXPECT_EQ(row.part(), "fake.0.mlp#neuron=" + std::to_string(i));
    EXPECT_FALSE(row.has_part_position());
    ASSERT_EQ(row.positions_size(), 4);
    EXPECT_GT(row.positions(3).kl_divergence(), 0);
    EXPECT_TRUE(row.positions(0).has_cross_entropy());
  }
  EXPECT_EQ(rows_.back().part_position(), 3);
  EXPECT_EQ(rows_.back().positions(0).kl_divergence(), 0);
  EXPECT_GT(rows_.back().positions(3).kl_divergence(), 0);
}

TEST_F(AblateTest, ACumulativeSweepEndsWithEverythingOff) {
  for (int unit = 0; unit < explainer_->units().size(); ++unit) {
    request_.add_swept()->set_part(NameOf(unit));
  }
  request_.set_sweep(v1::SWEEP_CUMULATIVE);
  ASSERT_TRUE(Ablate().ok());
  const double end = rows_.back().positions(0).margin();
  request_.clear_swept();
  for (const char* const part :
       {"fake.0.attn#head=*", "fake.0.mlp#neuron=*", "fake.1.attn#head=0-1",
        "fake.1.mlp#neuron=*"}) {
    request_.add_interventions()->set_part(part);
  }
  ASSERT_TRUE(Ablate().ok());
  EXPECT_EQ(rows_[0].positions(0).margin(), end);
}

TEST_F(AblateTest, LongSweepsComeInSeveralMessages) {
  for (int i = 0; i < 40; ++i) {
    request_.add_swept()->set_part("fake.0.mlp#neuron=*");
  }
  request_.set_every_position(true);
  request_.set_top_k(24);
  ASSERT_TRUE(Ablate().ok());
  EXPECT_EQ(static_cast<int64_t>(rows_.size()), start_.row_count());
}

TEST_F(AblateTest, AGenerationContinuesThePrompt) {
  request_.mutable_generation()->set_max_token_count(3);
  request_.add_interventions()->set_part("fake.0.mlp#neuron=2");
  ASSERT_TRUE(Ablate().ok());
  EXPECT_EQ(start_.row_count(), 3);
  ASSERT_EQ(rows_.size(), 3u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(rows_[i].step(), i);
    EXPECT_EQ(rows_[i].positions(0).position(), 3 + i);
    EXPECT_EQ(rows_[i].generated().id(),
              rows_[i].positions(0).top(0).token().id());
    EXPECT_EQ(rows_[i].part(), "");
  }
}

TEST_F(AblateTest, RefusesWhatIsNotThere) {
  request_.add_interventions()->set_part("fake.0.mlp#neuron=10");
  ExpectBad("UNKNOWN_PART", "interventions[0].part");
  for (const char* const part :
       {"", "fake.0.mlp", "fake.0.mlp#neuron", "fake.0.mlp#neuron=",
        "fake.0.mlp#neuron=-1", "fake.0.mlp#neuron=3-1", "fake.0.mlp#head=0",
        "fake.0.mlp#neuron=1x", "fake.0.mlp#delta", "fake.9.mlp#neuron=0"}) {
    request_.mutable_interventions(0)->set_part(part);
    ExpectBad("UNKNOWN_PART", "interventions[0].part");
  }
  request_.clear_interventions();
  request_.set_decomposition("none");
  const grpc::Status status = Ablate();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Decode(status).reason, "DECOMPOSITION_NOT_FOUND");
}

TEST_F(AblateTest, RefusesWhatNeedsADecomposition) {
  for (const v1::MaskStrategy strategy :
       {v1::MASK_STRATEGY_UNMASKED, v1::MASK_STRATEGY_CAUSAL_IMPORTANCE,
        v1::MASK_STRATEGY_ADVERSARIAL}) {
    request_.set_strategy(strategy);
    ExpectBad("NO_DECOMPOSITION", "strategy");
  }
  request_.set_strategy(v1::MASK_STRATEGY_TARGET);
  request_.set_delta(0);
  ExpectBad("NO_DECOMPOSITION", "delta");
}

TEST_F(AblateTest, RefusesOptionsOutOfRange) {
  const v1::AblateRequest good = request_;
  const auto expect = [&](const std::string& reason, const std::string& field,
                          const auto& spoil) {
    request_ = good;
    spoil(request_);
    ExpectBad(reason, field);
  };
  using Request = v1::AblateRequest;
  expect("OPTION_OUT_OF_RANGE", "strategy",
         [](Request& r) { r.set_strategy(static_cast<v1::MaskStrategy>(99)); });
  expect("OPTION_OUT_OF_RANGE", "sweep",
         [](Request& r) { r.set_sweep(static_cast<v1::Sweep>(99)); });
  expect("OPTION_OUT_OF_RANGE", "threshold",
         [](Request& r) { r.set_threshold(1.5); });
  expect("OPTION_OUT_OF_RANGE", "sample_count",
         [](Request& r) { r.set_sample_count(65); });
  expect("OPTION_OUT_OF_RANGE", "sample_count",
         [](Request& r) { r.set_sample_count(2); });
  expect("OPTION_OUT_OF_RANGE", "adversary.step_count",
         [](Request& r) { r.mutable_adversary()->set_step_count(-1); });
  expect("OPTION_OUT_OF_RANGE", "adversary.step_size",
         [](Request& r) { r.mutable_adversary()->set_step_size(2); });
  expect("OPTION_OUT_OF_RANGE", "adversary.restart_count",
         [](Request& r) { r.mutable_adversary()->set_restart_count(17); });
  expect("OPTION_OUT_OF_RANGE", "interventions[0].factor", [](Request& r) {
    r.add_interventions()->set_part("fake.0.mlp#neuron=0");
    r.mutable_interventions(0)->set_factor(1.0 / 0.0);
  });
  expect("POSITION_OUT_OF_RANGE", "swept[0].position", [](Request& r) {
    r.add_swept()->set_part("fake.0.mlp#neuron=0");
    r.mutable_swept(0)->set_position(4);
  });
  expect("POSITION_OUT_OF_RANGE", "edits[0].position",
         [](Request& r) { r.add_edits()->set_position(-1); });
  expect("TOKEN_OUT_OF_RANGE", "edits[0].token_id",
         [](Request& r) { r.add_edits()->set_token_id(24); });
  expect("TOKEN_OUT_OF_RANGE", "target_id",
         [](Request& r) { r.set_target_id(-1); });
  expect("TOP_K_OUT_OF_RANGE", "top_k", [](Request& r) { r.set_top_k(101); });
  expect("OPTION_OUT_OF_RANGE", "generation.max_token_count",
         [](Request& r) { r.mutable_generation(); });
  expect("PROMPT_TOO_LONG", "generation.max_token_count",
         [](Request& r) { r.mutable_generation()->set_max_token_count(30); });
  expect("OPTION_OUT_OF_RANGE", "generation.temperature", [](Request& r) {
    r.mutable_generation()->set_max_token_count(1);
    r.mutable_generation()->set_temperature(-1);
  });
  expect("OPTION_OUT_OF_RANGE", "swept", [](Request& r) {
    r.mutable_generation()->set_max_token_count(1);
    r.add_swept()->set_part("fake.0.mlp#neuron=0");
  });
  expect("OPTION_OUT_OF_RANGE", "interventions", [](Request& r) {
    for (int i = 0; i < 60'000; ++i) {
      r.add_interventions()->set_part("fake.0.mlp#neuron=*");
    }
  });
  expect("EMPTY_PROMPT", "prompt", [](Request& r) { r.clear_prompt(); });
}

TEST_F(AblateTest, ACancelledCallEnds) {
  for (int i = 0; i < 40; ++i) {
    request_.add_swept()->set_part("fake.0.mlp#neuron=*");
  }
  request_.set_every_position(true);
  request_.set_top_k(24);
  grpc::ClientContext context;
  const auto stream = stub_->Ablate(&context, request_);
  v1::AblateResponse response;
  ASSERT_TRUE(stream->Read(&response));
  context.TryCancel();
  while (stream->Read(&response)) {
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  server_->Drain();
  EXPECT_TRUE(server_->WaitUntilIdle(std::chrono::steady_clock::now() +
                                     std::chrono::seconds(20)));
}

}  // namespace
}  // namespace spar::service
