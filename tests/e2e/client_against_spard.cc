// The C++ client library against a real server: SPAR_SERVER names it, and
// SPAR_PROMPT is a prompt that its demo model explains.
#include <cstdlib>
#include <string>
#include <vector>

#include "client/spar_client.h"
#include <gtest/gtest.h>

#include "base/status.h"

namespace spar::client {
namespace {

Client& Server() {
  static Client client{ClientOptions{.target = std::getenv("SPAR_SERVER")}};
  return client;
}

v1::CrystallizeRequest Request() {
  v1::CrystallizeRequest request;
  request.set_model("models/demo");
  request.mutable_prompt()->set_text(std::getenv("SPAR_PROMPT"));
  request.mutable_options()->set_mode(v1::MODE_SUFFICIENT);
  return request;
}

TEST(ClientAgainstSpard, ListsModels) {
  const auto models = Server().ListModels();
  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_FALSE(models->empty());
  const auto demo = Server().GetModel("demo");
  ASSERT_TRUE(demo.ok()) << demo.status();
  EXPECT_EQ(demo->unit_count(),
            demo->layer_count() * (demo->head_count() + demo->neuron_count()));
}

TEST(ClientAgainstSpard, PredictsWhatItTokenized) {
  v1::TokenizeRequest tokenize;
  tokenize.set_model("models/demo");
  tokenize.set_text(std::getenv("SPAR_PROMPT"));
  const auto tokens = Server().Tokenize(tokenize);
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  v1::PredictRequest predict;
  predict.set_model("models/demo");
  *predict.mutable_prompt() = Request().prompt();
  const auto prediction = Server().Predict(predict);
  ASSERT_TRUE(prediction.ok()) << prediction.status();
  ASSERT_EQ(prediction->prompt_size(), tokens->tokens_size());
  for (int i = 0; i < tokens->tokens_size(); ++i) {
    EXPECT_EQ(prediction->prompt(i).id(), tokens->tokens(i).id());
  }
}

TEST(ClientAgainstSpard, ExplainsAndVerifies) {
  std::vector<v1::CrystallizeEvent> events;
  const auto explanation = Server().Crystallize(
      Request(),
      [&](const v1::CrystallizeEvent& event) { events.push_back(event); });
  ASSERT_TRUE(explanation.ok()) << explanation.status();
  ASSERT_FALSE(events.empty());
  for (const v1::CrystallizeEvent& event : events) {
    EXPECT_GT(event.margin(), 0);
    EXPECT_EQ(UnpackIds(event.unit_id_deltas()).value().size(),
              static_cast<size_t>(event.kept_unit_count()));
  }
  ASSERT_TRUE(explanation->has_certificate());
  v1::VerifyRequest verify;
  verify.set_model("models/demo");
  verify.set_certificate_json(explanation->certificate().canonical_json());
  const auto verified = Server().Verify(verify);
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_NE(verified->verdict(), v1::CERTIFICATE_VERDICT_INVALID);
}

TEST(ClientAgainstSpard, CancelsFromItsOwnCallback) {
  std::stop_source stop;
  const auto explanation = Server().Crystallize(
      Request(), [&](const v1::CrystallizeEvent&) { stop.request_stop(); },
      stop.get_token());
  // The search may have ended before the server heard of it.
  if (!explanation.ok()) {
    EXPECT_EQ(explanation.status().code(), absl::StatusCode::kCancelled);
  }
}

TEST(ClientAgainstSpard, DecodesWhatTheServerRefuses) {
  v1::CrystallizeRequest request = Request();
  request.mutable_options()->set_tau(-1);
  const absl::Status error = Server().Crystallize(request, nullptr).status();
  EXPECT_EQ(error.code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(base::DetailOf(error).has_value());
  EXPECT_EQ(base::DetailOf(error)->reason, "OPTION_OUT_OF_RANGE");
  EXPECT_EQ(base::DetailOf(error)->field, "options.tau");
}

TEST(ClientAgainstSpard, FindsTheServerServing) {
  EXPECT_TRUE(Server().WaitUntilServing("", std::chrono::seconds(60)).ok());
  EXPECT_TRUE(Server()
                  .WaitUntilServing("spar.v1.ExplanationService",
                                    std::chrono::seconds(60))
                  .ok());
}

}  // namespace
}  // namespace spar::client

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
