#include "client/model_text.h"

#include <cmath>

#include <gtest/gtest.h>

#include "base/status.h"
#include "tests/client/sample_explanation.h"

namespace spar::client {
namespace {

TEST(FormatModels, TellsWhatAModelIs) {
  EXPECT_EQ(FormatModels({SampleModel()}, Style()),
            "models/demo\n"
            "  llama_simple_mlp, 2 layers of 4 heads and 32 neurons: 72 units\n"
            "  width 8, vocabulary 2,000, prompts of up to 64 tokens\n"
            "  1,234,567 parameters, float32 on cpu, noise floor 1.2e-06 "
            "logits\n"
            "  with reference prompts\n"
            "  digest ab12\n");
}

TEST(FormatModels, NamesTheDecompositionsOfAModel) {
  v1::Model model = SampleModel();
  v1::ModelDecomposition& one = *model.add_decompositions();
  one.set_name("models/demo/decompositions/main");
  one.set_memory_bytes(1'234'567);
  EXPECT_TRUE(FormatModels({model}, Style())
                  .ends_with("  digest ab12\n"
                             "  models/demo/decompositions/main, 1,234,567 "
                             "bytes\n"));
}

TEST(FormatTokens, ListsIdsAndTexts) {
  v1::TokenizeResponse response;
  response.add_tokens()->set_text("the");
  response.mutable_tokens(0)->set_id(17);
  response.add_tokens()->set_text("\n");
  response.mutable_tokens(1)->set_id(1234);
  EXPECT_EQ(FormatTokens(response),
            "    0     17  \"the\"\n"
            "    1   1234  \"\\n\"\n");
}

TEST(FormatPrediction, DrawsProbabilitiesAsBars) {
  v1::PredictResponse response;
  v1::PositionPrediction& prediction = *response.add_predictions();
  prediction.set_position(4);
  prediction.mutable_token()->set_text("is");
  for (const auto& [text, probability] :
       {std::pair("tokyo", 0.5), std::pair("rome", 0.001)}) {
    v1::TokenScore& score = *prediction.add_top();
    score.mutable_token()->set_text(text);
    score.set_log_probability(std::log(probability));
  }
  EXPECT_EQ(FormatPrediction(response, Style()),
            "    4  \"is\"             → \"tokyo\"              50 %  "
            "████████████\n"
            "                          \"rome\"             0.10 %\n");
}

TEST(FormatVerification, ListsItsFindings) {
  v1::VerifyResponse response;
  response.set_verdict(v1::CERTIFICATE_VERDICT_INVALID);
  response.add_findings("The digest differs.");
  response.set_margin(1.5);
  response.set_row_count(12);
  response.set_largest_difference(2e-6);
  EXPECT_EQ(FormatVerification(response, Style()),
            "INVALID  margin +1.500 re-computed in 12 rows; largest difference "
            "2.0e-06 logits\n"
            "  The digest differs.\n");
}

TEST(FormatVerification, CountsWhatWouldFillTheScreen) {
  v1::VerifyResponse response;
  for (int i = 0; i < 1021; ++i)
    response.add_findings(base::Cat("no ", i, "."));
  const std::string text = FormatVerification(response, Style());
  EXPECT_NE(text.find("  no 19.\n"), std::string::npos);
  EXPECT_EQ(text.find("  no 20.\n"), std::string::npos);
  EXPECT_TRUE(
      text.ends_with("  and 1,001 more findings, which --output json has\n"));
}

}  // namespace
}  // namespace spar::client
