// The LibTorch backend against the dense float64 checker.
#include "models/torch/torch_backend.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include <unistd.h>

#include "base/status.h"
#include "models/ablation.h"
#include "models/attribution.h"
#include "tests/conformance/models.h"
#include "tests/conformance/rows.h"
#include "tests/models/forwarding_snapshot.h"

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
 public:
  static std::unique_ptr<Backend> Make(TorchBackendOptions options = {}) {
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

// Margins of all rows with `reuse`.
std::vector<RowResult> EvaluateWith(const TorchBackendTest& test,
                                    const std::vector<Row>& rows,
                                    const ReuseOptions& reuse) {
  auto results = test.Make({.reuse = reuse})->Evaluate(rows);
  EXPECT_TRUE(results.ok()) << results.status();
  return *std::move(results);
}

TEST_P(TorchBackendTest, EveryReuseIsExact) {
  const std::vector<Row> rows = AssortedRows(*Make(), 12);
  const ReuseOptions none = {.batch_rows = false,
                             .share_layers = false,
                             .compact_positions = false,
                             .compact_units = false,
                             .readout_only = false};
  const std::vector<RowResult> plain = EvaluateWith(*this, rows, none);
  std::vector<ReuseOptions> some(6, none);
  some[0].batch_rows = true;
  some[1].batch_rows = some[1].share_layers = true;
  some[2].compact_positions = true;
  some[3].compact_units = true;
  some[4].readout_only = true;
  some[5] = {};
  for (size_t reuse = 0; reuse < some.size(); ++reuse) {
    const auto results = EvaluateWith(*this, rows, some[reuse]);
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_NEAR(results[i].margin, plain[i].margin, kTolerance)
          << "reuse " << reuse << ", row " << i;
    }
  }
}

TEST_P(TorchBackendTest, DeletingPositionsEqualsMaskingTheirKeys) {
  std::mt19937 random(5);
  const std::unique_ptr<Backend> backend = Make();
  std::vector<Row> rows;
  for (int i = 0; i < 12; ++i) {
    const int length = 2 + i;
    Row row{.prompt = MakePrompt(
                {.tokens = RandomTokens(random, 50, length), .target = 1}),
            .units = IndexSet::All(backend->units().size()),
            .positions = RandomSubset(random, length, 0.5)};
    row.positions.Insert(length - 1);
    rows.push_back(std::move(row));
  }
  const auto deleted = EvaluateWith(*this, rows, {.compact_positions = true});
  const auto masked = EvaluateWith(*this, rows, {.compact_positions = false});
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_NEAR(deleted[i].margin, masked[i].margin, kTolerance);
  }
}

TEST_P(TorchBackendTest, KeepsMeanActivationsAndIgnoresADamagedFile) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() /
      ("spar_means_" + std::to_string(getpid()) + GetParam().name);
  const std::vector<Row> rows = AssortedRows(*Make(), 13);
  const auto expected = *Make()->Evaluate(rows);
  const auto expect_same = [&] {
    const auto results = *Make({.cache_dir = folder})->Evaluate(rows);
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_NEAR(results[i].margin, expected[i].margin, kTolerance);
    }
  };
  expect_same();
  std::vector<std::filesystem::path> files;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    files.push_back(file.path());
  }
  ASSERT_EQ(files.size(), 1u);
  const auto size = std::filesystem::file_size(files[0]);
  const auto written = std::filesystem::last_write_time(files[0]);
  expect_same();
  EXPECT_EQ(std::filesystem::last_write_time(files[0]), written);
  {
    std::fstream file(files[0]);
    file.seekp(static_cast<std::streamoff>(size / 2));
    file << "damage";
  }
  expect_same();
  std::filesystem::resize_file(files[0], 10);
  expect_same();
  EXPECT_EQ(std::filesystem::file_size(files[0]), size);
  std::filesystem::remove_all(folder);
}

TEST_P(TorchBackendTest, HalfPrecisionComesClose) {
  const std::unique_ptr<Backend> backend = Make({.dtype = "bfloat16"});
  EXPECT_EQ(backend->info().dtype, "bfloat16");
  const std::vector<Row> rows = AssortedRows(*Make(), 14);
  const auto results = backend->Evaluate(rows);
  ASSERT_TRUE(results.ok()) << results.status();
  const auto exact = *Make()->Evaluate(rows);
  double total = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    total += std::fabs((*results)[i].margin - exact[i].margin);
  }
  // Eight bits of mantissa through three layers of order-one streams.
  EXPECT_LT(total / static_cast<double>(rows.size()), 0.1);
}

TEST_P(TorchBackendTest, RefusesABatchThatDoesNotFitWithBothNumbers) {
  const std::vector<Row> rows = AssortedRows(*Make(), 15);
  const auto refused = Make({.max_batch_bytes = 1000})->Evaluate(rows).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  const auto detail = base::DetailOf(refused);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->metadata.at("max_batch_bytes"), "1000");
  EXPECT_GT(std::stoll(detail->metadata.at("bytes")), 1000);
}

TEST(TorchBackend, BreaksTiesOfTheRunnerUpByTheLowestId) {
  // Every logit is zero.
  class Tied final : public ForwardingSnapshot {
   public:
    Tied() : ForwardingSnapshot(MakeRandomSnapshot(Shape(), false, 3)) {
      const TensorView& head =
          ForwardingSnapshot::Tensor(spec().unembedding.weight.tensor);
      rows_.assign(head.bytes.size() / sizeof(float), 0.0f);
      view_ = head;
      view_.bytes = std::as_bytes(std::span<const float>(rows_));
    }
    static DecoderSpec Shape() {
      DecoderSpec shape = SmallModels()[0].shape;
      shape.tied_embeddings = false;
      return shape;
    }
    const TensorView& Tensor(std::string_view name) const override {
      return name == spec().unembedding.weight.tensor
                 ? view_
                 : ForwardingSnapshot::Tensor(name);
    }

   private:
    std::vector<float> rows_;
    TensorView view_;
  };
  const auto backend =
      *MakeTorchBackend(std::make_shared<Tied>(), {.num_threads = 1});
  for (const TokenId target : {0, 7}) {
    const Row row{.prompt = MakePrompt({.tokens = {1, 2}, .target = target}),
                  .units = IndexSet::All(backend->units().size()),
                  .positions = IndexSet::All(2)};
    const auto results = backend->Evaluate(std::span(&row, 1));
    ASSERT_TRUE(results.ok()) << results.status();
    EXPECT_EQ((*results)[0].margin, 0);
    EXPECT_FALSE((*results)[0].Predicts());
    EXPECT_EQ((*results)[0].runner_up, target == 0 ? 1 : 0);
  }
  const auto predictions = backend->Predict(std::vector<TokenId>{1}, 3);
  ASSERT_TRUE(predictions.ok()) << predictions.status();
  EXPECT_EQ((*predictions)[0].top[2].token, 2);
}

TEST(TorchBackend, RefusesDevicesAndTypesItDoesNotHave) {
  const NamedModel model = SmallModels()[0];
  const auto snapshot = MakeRandomSnapshot(model.shape, model.biases, 3);
  const auto reason_of = [&](const TorchBackendOptions& options) {
    const absl::Status status = MakeTorchBackend(snapshot, options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    const auto detail = base::DetailOf(status);
    return detail.has_value() ? detail->reason : "";
  };
  for (const char* device : {"tpu", "cuda:", "cuda:-1", "cuda:x", "cuda:99"}) {
    EXPECT_EQ(reason_of({.device = device}), "BAD_DEVICE") << device;
  }
  EXPECT_EQ(reason_of({.dtype = "int8"}), "BAD_DTYPE");
  EXPECT_EQ(reason_of({.reference_prompts = {{1}, {1, 50}}}),
            "TOKEN_OUT_OF_RANGE");
}

// Whatever is asked about a prompt, a fault in it has one name.
TEST(TorchBackend, NamesTheFaultOfAPromptAlikeInEveryCall) {
  class NoSink final : public AttributionSink {
   public:
    absl::Status OnNodes(AttributionNodes) override {
      return absl::InternalError("nothing may be attributed");
    }
    absl::Status OnEdges(EdgeBlock) override {
      return absl::InternalError("nothing may be attributed");
    }
  };
  const NamedModel model = SmallModels()[0];
  const auto backend = *MakeTorchBackend(
      MakeRandomSnapshot(model.shape, model.biases, 3), {.num_threads = 1});
  const auto fault = [](const absl::Status& status) {
    const auto detail = base::DetailOf(status);
    return detail.has_value() ? detail->reason + " " + detail->field : "none";
  };
  const auto expect = [&](const std::vector<TokenId>& tokens,
                          const std::string& want) {
    EXPECT_EQ(fault(backend->Predict(tokens, 3).status()), want);
    NoSink sink;
    EXPECT_EQ(fault(backend->Attribute({.tokens = tokens}, sink).status()),
              want);
    EXPECT_EQ(fault(backend->Ablate({.tokens = tokens}).status()), want);
  };
  expect({}, "EMPTY_PROMPT prompt.tokens");
  expect({1, 2, -1}, "TOKEN_OUT_OF_RANGE prompt.tokens[2]");
  expect(std::vector<TokenId>(1000, 1), "PROMPT_TOO_LONG prompt.tokens");
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
