#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "server/service/limits.h"
#include "tests/service/rich_error.h"
#include "tests/service/served_model.h"

namespace spar::service {
namespace {

using testing::Decode;
using testing::RichError;

class ModelServiceTest : public testing::ServedModelTest {
 protected:
  void SetUp() override {
    ServedModelTest::SetUp();
    testing::ScriptedExplainer* other = nullptr;
    ASSERT_TRUE(registry_.Add(testing::MakeServedModel("other", &other)).ok());
    Serve();
  }

  grpc::Status List(const v1::ListModelsRequest& request) {
    grpc::ClientContext context;
    list_.Clear();
    return models_->ListModels(&context, request, &list_);
  }
  grpc::Status Get(const std::string& name) {
    grpc::ClientContext context;
    v1::GetModelRequest request;
    request.set_name(name);
    return models_->GetModel(&context, request, &get_);
  }
  grpc::Status Tokenize(const v1::TokenizeRequest& request) {
    grpc::ClientContext context;
    return models_->Tokenize(&context, request, &tokens_);
  }
  grpc::Status Predict(const v1::PredictRequest& request) {
    grpc::ClientContext context;
    return models_->Predict(&context, request, &prediction_);
  }

  v1::ListModelsResponse list_;
  v1::GetModelResponse get_;
  v1::TokenizeResponse tokens_;
  v1::PredictResponse prediction_;
};

void ExpectBad(const grpc::Status& status,
               const std::string& reason,
               const std::string& field) {
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
      << status.error_message();
  const RichError error = Decode(status);
  EXPECT_EQ(error.reason, reason);
  EXPECT_EQ(error.field, field);
  EXPECT_EQ(error.domain, "spar.dev");
}

TEST_F(ModelServiceTest, ListsModelsByNamePageByPage) {
  v1::ListModelsRequest request;
  ASSERT_TRUE(List(request).ok());
  ASSERT_EQ(list_.models_size(), 2);
  EXPECT_EQ(list_.next_page_token(), "");
  request.set_page_size(1);
  ASSERT_TRUE(List(request).ok());
  ASSERT_EQ(list_.models_size(), 1);
  EXPECT_EQ(list_.models(0).name(), "models/other");
  request.set_page_token(list_.next_page_token());
  ASSERT_TRUE(List(request).ok());
  ASSERT_EQ(list_.models_size(), 1);
  EXPECT_EQ(list_.models(0).name(), "models/toy");
  EXPECT_EQ(list_.next_page_token(), "");
}

TEST_F(ModelServiceTest, RefusesPagesThatAreNone) {
  v1::ListModelsRequest request;
  request.set_page_size(-3);
  ExpectBad(List(request), "PAGE_SIZE_OUT_OF_RANGE", "page_size");
  request.set_page_size(0);
  request.set_page_token("what?");
  ExpectBad(List(request), "BAD_PAGE_TOKEN", "page_token");
}

TEST_F(ModelServiceTest, GetsOneModel) {
  ASSERT_TRUE(Get("models/toy").ok());
  EXPECT_EQ(get_.model().name(), "models/toy");
  EXPECT_EQ(get_.model().unit_count(), 24);
}

TEST_F(ModelServiceTest, NamesTheModelThatIsNotThere) {
  const grpc::Status status = Get("models/none");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  const RichError error = Decode(status);
  EXPECT_EQ(error.reason, "MODEL_NOT_FOUND");
  EXPECT_EQ(error.resource, "models/none");
  EXPECT_EQ(error.metadata.at("model"), "models/none");
  ExpectBad(Get(""), "BAD_RESOURCE_NAME", "name");
}

TEST_F(ModelServiceTest, TokenizesText) {
  v1::TokenizeRequest request;
  request.set_model("models/toy");
  request.set_text("t3 <end>");
  ASSERT_TRUE(Tokenize(request).ok());
  ASSERT_EQ(tokens_.tokens_size(), 2);
  EXPECT_EQ(tokens_.tokens(0).id(), 3);
  EXPECT_EQ(tokens_.tokens(0).text(), "t3");
  EXPECT_EQ(tokens_.tokens(1).id(), 0);
}

TEST_F(ModelServiceTest, RefusesTextThatItCannotTokenize) {
  v1::TokenizeRequest request;
  ExpectBad(Tokenize(request), "BAD_RESOURCE_NAME", "model");
  request.set_model("models/none");
  EXPECT_EQ(Decode(Tokenize(request)).reason, "MODEL_NOT_FOUND");
  request.set_model("models/toy");
  request.set_text("what");
  ExpectBad(Tokenize(request), "UNENCODABLE_TEXT", "text");
  request.set_text("<end>");
  request.set_ignore_special_tokens(true);
  ExpectBad(Tokenize(request), "UNENCODABLE_TEXT", "text");
  request.set_text(std::string(kMaxTextBytes + 1, ' '));
  ExpectBad(Tokenize(request), "TEXT_TOO_LONG", "text");
}

TEST_F(ModelServiceTest, PredictsAsTheModelDoes) {
  v1::PredictRequest request;
  request.set_model("models/toy");
  request.mutable_prompt()->set_text("t3 t7 t1");
  request.set_top_k(2);
  ASSERT_TRUE(Predict(request).ok());
  models::FakeBackend truth;
  const std::vector<models::TokenId> tokens = {3, 7, 1};
  const auto expected = truth.Predict(tokens, 2);
  ASSERT_TRUE(expected.ok());
  ASSERT_EQ(prediction_.prompt_size(), 3);
  EXPECT_EQ(prediction_.prompt(1).id(), 7);
  ASSERT_EQ(prediction_.predictions_size(), 1);
  const v1::PositionPrediction& last = prediction_.predictions(0);
  EXPECT_EQ(last.position(), 2);
  EXPECT_EQ(last.token().id(), 1);
  EXPECT_FALSE(last.has_next_token_log_probability());
  ASSERT_EQ(last.top_size(), 2);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(last.top(i).token().id(), expected->at(2).top[i].token);
    EXPECT_EQ(last.top(i).logit(), expected->at(2).top[i].logit);
  }
}

TEST_F(ModelServiceTest, PredictsAtEveryPosition) {
  v1::PredictRequest request;
  request.set_model("models/toy");
  request.mutable_prompt()->set_text("t3 t7 t1");
  request.set_every_position(true);
  ASSERT_TRUE(Predict(request).ok());
  ASSERT_EQ(prediction_.predictions_size(), 3);
  EXPECT_EQ(prediction_.predictions(0).top_size(), kDefaultTopK);
  EXPECT_TRUE(prediction_.predictions(1).has_next_token_log_probability());
  EXPECT_FALSE(prediction_.predictions(2).has_next_token_log_probability());
}

TEST_F(ModelServiceTest, RefusesBadPredictRequests) {
  v1::PredictRequest request;
  ExpectBad(Predict(request), "BAD_RESOURCE_NAME", "model");
  request.set_model("models/toy");
  ExpectBad(Predict(request), "EMPTY_PROMPT", "prompt");
  request.mutable_prompt()->mutable_tokens()->add_ids(99);
  ExpectBad(Predict(request), "TOKEN_OUT_OF_RANGE", "prompt.tokens.ids[0]");
  request.mutable_prompt()->set_text("t1");
  request.set_top_k(101);
  ExpectBad(Predict(request), "TOP_K_OUT_OF_RANGE", "top_k");
}

}  // namespace
}  // namespace spar::service
