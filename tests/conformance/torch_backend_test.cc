// The LibTorch backend against the dense float64 checker.
#include "models/torch/torch_backend.h"

#include <cmath>
#include <memory>
#include <string>

#include "gtest/gtest.h"

#include "tests/conformance/models.h"
#include "tests/conformance/rows.h"

namespace spar::models {
namespace {

std::vector<std::vector<TokenId>> ReferencePrompts(const DecoderSpec& spec) {
  std::mt19937 random(7);
  std::vector<std::vector<TokenId>> prompts;
  for (int i = 0; i < 14; ++i) {
    prompts.push_back(RandomTokens(random, spec.vocab_size, 1 + i));
  }
  return prompts;
}

class TorchBackendTest : public testing::TestWithParam<NamedModel> {
 protected:
  std::unique_ptr<Backend> Make(TorchBackendOptions options = {}) {
    options.num_threads = 1;
    options.reference_prompts = ReferencePrompts(GetParam().shape);
    auto backend = MakeTorchBackend(
        MakeRandomSnapshot(GetParam().shape, GetParam().biases, 3), options);
    EXPECT_TRUE(backend.ok()) << backend.status();
    return *std::move(backend);
  }
};

// Float32 through three layers of order-one streams: logits of order one, with
// errors of some 1e-6.
constexpr double kTolerance = 3e-5;

TEST_P(TorchBackendTest, AgreesWithTheDenseFloat64Checker) {
  const std::unique_ptr<Backend> backend = Make();
  const std::vector<Row> rows = AssortedRows(*backend, 11);
  const auto results = backend->Evaluate(rows);
  ASSERT_TRUE(results.ok()) << results.status();
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto exact = backend->EvaluateExactly(rows[i]);
    ASSERT_TRUE(exact.ok()) << exact.status();
    EXPECT_NEAR((*results)[i].margin, *exact, kTolerance) << "row " << i;
  }
}

std::string ModelName(const testing::TestParamInfo<NamedModel>& model) {
  return model.param.name;
}

INSTANTIATE_TEST_SUITE_P(Models,
                         TorchBackendTest,
                         testing::ValuesIn(SmallModels()),
                         ModelName);

}  // namespace
}  // namespace spar::models
