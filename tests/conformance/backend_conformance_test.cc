// What every Backend promises, asked of each: the fake, LibTorch on the CPU,
// and LibTorch on CUDA where there is one.
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "base/status.h"
#include "models/ablation.h"
#include "models/digest.h"
#include "models/fake_backend.h"
#include "models/torch/torch_backend.h"
#include "tests/conformance/models.h"
#include "tests/conformance/rows.h"

namespace spar::models {
namespace {

using References = std::vector<std::vector<TokenId>>;

struct NamedBackend {
  std::string name = {};
  std::function<std::unique_ptr<Backend>(const References&)> make = nullptr;
};

void PrintTo(const NamedBackend& backend, std::ostream* out) {
  *out << backend.name;
}

std::unique_ptr<Backend> MakeTorch(const std::string& device,
                                   const References& references) {
  const NamedModel model = SmallModels()[0];
  auto backend =
      MakeTorchBackend(MakeRandomSnapshot(model.shape, model.biases, 5),
                       {.device = device,
                        .num_threads = device == "cpu" ? 1 : 0,
                        .reference_prompts = references});
  return backend.ok() ? *std::move(backend) : nullptr;
}

std::vector<NamedBackend> Backends() {
  std::vector<NamedBackend> backends;
  backends.push_back({"Fake", [](const References& references) {
                        FakeBackendOptions options;
                        options.reference_prompts = references;
                        return std::make_unique<FakeBackend>(options);
                      }});
  backends.push_back({"TorchCpu", [](const References& references) {
                        return MakeTorch("cpu", references);
                      }});
  if (MakeTorch("cuda", {}) != nullptr) {
    backends.push_back({"TorchCuda", [](const References& references) {
                          return MakeTorch("cuda", references);
                        }});
  }
  return backends;
}

const References kReferences = {{1, 2, 3}, {4}, {5, 6, 7, 8, 9}};

class BackendConformance : public testing::TestWithParam<NamedBackend> {
 protected:
  BackendConformance() : backend_(GetParam().make(kReferences)) {}

  // Margins of order one in float32.
  double Tolerance() const {
    return std::max(1e-5, 10 * backend_->calibration().noise_floor);
  }
  int num_units() const { return backend_->units().size(); }

  Row FullRow(std::vector<TokenId> tokens, TokenId target) const {
    const int length = static_cast<int>(tokens.size());
    return {
        .prompt = MakePrompt({.tokens = std::move(tokens), .target = target}),
        .units = IndexSet::All(num_units()),
        .positions = IndexSet::All(length)};
  }

  const std::unique_ptr<Backend> backend_;
};

TEST_P(BackendConformance, AnswersRowsOfAllKindsAsItsExactPathDoes) {
  const std::vector<Row> rows = AssortedRows(*backend_, 1);
  const auto results = backend_->Evaluate(rows);
  ASSERT_TRUE(results.ok()) << results.status();
  ASSERT_EQ(results->size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto exact = backend_->EvaluateExactly(rows[i]);
    ASSERT_TRUE(exact.ok()) << exact.status();
    EXPECT_NEAR((*results)[i].margin, *exact, Tolerance()) << "row " << i;
  }
}

TEST_P(BackendConformance, AnswersDoNotDependOnTheRestOfTheBatch) {
  const std::vector<Row> rows = AssortedRows(*backend_, 2);
  const auto together = backend_->Evaluate(rows);
  ASSERT_TRUE(together.ok()) << together.status();
  for (size_t i = 0; i < rows.size(); i += 7) {
    const auto alone = backend_->Evaluate(std::span(&rows[i], 1));
    ASSERT_TRUE(alone.ok()) << alone.status();
    EXPECT_NEAR((*alone)[0].margin, (*together)[i].margin, Tolerance());
    EXPECT_NEAR((*alone)[0].target_log_probability,
                (*together)[i].target_log_probability, Tolerance());
  }
}

TEST_P(BackendConformance, ResultsFitTogether) {
  const std::vector<Row> rows = AssortedRows(*backend_, 3);
  const auto results = backend_->Evaluate(rows);
  ASSERT_TRUE(results.ok()) << results.status();
  for (size_t i = 0; i < rows.size(); ++i) {
    const RowResult& result = (*results)[i];
    EXPECT_NEAR(result.margin, result.target_logit - result.runner_up_logit,
                1e-5);
    EXPECT_NE(result.runner_up, rows[i].prompt->target);
    EXPECT_LE(result.target_log_probability, 0);
    EXPECT_EQ(result.Predicts(), result.margin > 0);
  }
}

TEST_P(BackendConformance, TheOwnPredictionIsTheStrongestToken) {
  std::vector<Row> own = AssortedRows(*backend_, 6);
  std::vector<Row> named = own;
  std::vector<Row> all = own;
  for (Row& row : own) {
    Prompt prompt = *row.prompt;
    prompt.target = kOwnPrediction;
    row.prompt = MakePrompt(std::move(prompt));
  }
  const auto results = backend_->Evaluate(own);
  ASSERT_TRUE(results.ok()) << results.status();
  for (size_t i = 0; i < own.size(); ++i) {
    EXPECT_GE((*results)[i].margin, 0);
    Prompt prompt = *named[i].prompt;
    prompt.target = (*results)[i].target;
    named[i].prompt = MakePrompt(std::move(prompt));
  }
  const auto again = backend_->Evaluate(named);
  ASSERT_TRUE(again.ok()) << again.status();
  for (size_t i = 0; i < own.size(); ++i) {
    EXPECT_EQ((*again)[i].target, (*results)[i].target);
    EXPECT_NEAR((*again)[i].margin, (*results)[i].margin, Tolerance());
    EXPECT_NEAR((*again)[i].target_log_probability,
                (*results)[i].target_log_probability, Tolerance());
  }
  // Beside rows with targets of their own.
  all.insert(all.end(), own.begin(), own.end());
  const auto mixed = backend_->Evaluate(all);
  ASSERT_TRUE(mixed.ok()) << mixed.status();
  for (size_t i = 0; i < own.size(); ++i) {
    EXPECT_EQ((*mixed)[i].target, all[i].prompt->target);
    EXPECT_EQ((*mixed)[own.size() + i].target, (*results)[i].target);
  }
  EXPECT_FALSE(backend_->EvaluateExactly(own[0]).ok());
  GradientRow gradient{.prompt = own[0].prompt,
                       .masks = std::vector<float>(num_units(), 0.5f),
                       .positions = own[0].positions};
  EXPECT_EQ(backend_->Gradients(std::span(&gradient, 1)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_P(BackendConformance, PredictsWhatItEvaluates) {
  const std::vector<TokenId> tokens = {3, 1, 4, 1, 5};
  const int vocab = backend_->info().vocab_size;
  const auto predictions = backend_->Predict(tokens, vocab);
  ASSERT_TRUE(predictions.ok()) << predictions.status();
  ASSERT_EQ(predictions->size(), tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    const PositionPrediction& here = (*predictions)[i];
    ASSERT_EQ(static_cast<int>(here.top.size()), vocab);
    double total = 0;
    for (size_t j = 0; j < here.top.size(); ++j) {
      total += std::exp(double{here.top[j].log_probability});
      if (j > 0) {
        EXPECT_LE(here.top[j].logit, here.top[j - 1].logit);
      }
      if (i + 1 < tokens.size() && here.top[j].token == tokens[i + 1]) {
        EXPECT_FLOAT_EQ(here.next_token_log_probability,
                        here.top[j].log_probability);
      }
    }
    EXPECT_NEAR(total, 1, 1e-4);
    const TokenScore& best = here.top[0];
    const Row row =
        FullRow({tokens.begin(), tokens.begin() + i + 1}, best.token);
    const auto result = backend_->Evaluate(std::span(&row, 1));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_NEAR((*result)[0].target_logit, best.logit, Tolerance());
    EXPECT_NEAR((*result)[0].margin, best.logit - here.top[1].logit,
                2 * Tolerance());
  }
  EXPECT_EQ(predictions->back().next_token_log_probability, 0);
}

TEST_P(BackendConformance, GradientsAgreeWithFiniteDifferences) {
  std::mt19937 random(9);
  std::uniform_real_distribution<float> between(0.2f, 0.8f);
  for (const ReferenceKind kind :
       {ReferenceKind::kZero, ReferenceKind::kMean}) {
    GradientRow row;
    row.prompt = MakePrompt(
        {.tokens = {2, 7, 1, 8, 2, 8}, .target = 3, .reference = kind});
    row.positions = IndexSet(6, std::vector<int32_t>{1, 2, 4, 5});
    for (int i = 0; i < num_units(); ++i) row.masks.push_back(between(random));
    const auto at_row = backend_->Gradients(std::span(&row, 1));
    ASSERT_TRUE(at_row.ok()) << at_row.status();
    const std::vector<float>& gradient = (*at_row)[0].gradient;
    ASSERT_EQ(static_cast<int>(gradient.size()), num_units());
    // Both ends of each difference carry a rounding error of some 1e-6, and the
    // cut-off error is of order step^2.
    constexpr float kStep = 0.03f;
    std::vector<GradientRow> around;
    std::vector<int> units;
    for (int i = 0; i < num_units(); i += 5) {
      units.push_back(i);
      for (const float sign : {1.0f, -1.0f}) {
        around.push_back(row);
        around.back().masks[i] += sign * kStep;
      }
    }
    const auto there = backend_->Gradients(around);
    ASSERT_TRUE(there.ok()) << there.status();
    for (size_t i = 0; i < units.size(); ++i) {
      const double difference = (double{(*there)[2 * i].smooth_margin} -
                                 (*there)[2 * i + 1].smooth_margin) /
                                (2 * kStep);
      EXPECT_NEAR(gradient[units[i]], difference,
                  1e-3 + 0.01 * std::fabs(difference))
          << backend_->units().Name(units[i]);
    }
  }
}

TEST_P(BackendConformance, GradientRowsOfWholeMasksAreRows) {
  std::vector<GradientRow> gradient_rows;
  const std::vector<Row> rows = AssortedRows(*backend_, 4);
  for (const Row& row : rows) {
    GradientRow same{.prompt = row.prompt, .positions = row.positions};
    for (int unit = 0; unit < num_units(); ++unit) {
      same.masks.push_back(row.units.Contains(unit) ? 1.0f : 0.0f);
    }
    gradient_rows.push_back(std::move(same));
  }
  const auto results = backend_->Evaluate(rows);
  const auto gradients = backend_->Gradients(gradient_rows);
  ASSERT_TRUE(results.ok()) << results.status();
  ASSERT_TRUE(gradients.ok()) << gradients.status();
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_NEAR((*gradients)[i].margin, (*results)[i].margin, Tolerance());
    // log-sum-exp lies between the largest and that plus log n.
    EXPECT_LE((*gradients)[i].smooth_margin,
              (*gradients)[i].margin + Tolerance());
    EXPECT_GE((*gradients)[i].smooth_margin,
              (*gradients)[i].margin - std::log(backend_->info().vocab_size) -
                  Tolerance());
  }
}

TEST_P(BackendConformance, RefusesRowsThatDoNotFitAndNamesTheFault) {
  const Row good = FullRow({1, 2, 3}, 4);
  const int vocab = backend_->info().vocab_size;
  std::vector<Row> bad;
  bad.push_back(
      {.prompt = nullptr, .units = good.units, .positions = good.positions});
  bad.push_back(FullRow({1, vocab, 3}, 4));
  bad.push_back(FullRow({1, -1, 3}, 4));
  bad.push_back(FullRow({1, 2, 3}, vocab));
  bad.push_back(FullRow({1, 2, 3}, -2));
  bad.push_back(FullRow({}, 4));
  bad.push_back(
      FullRow(std::vector<TokenId>(backend_->info().context_length + 1, 1), 4));
  bad.push_back(good);
  bad.back().positions.Remove(2);
  bad.push_back(good);
  bad.back().positions = IndexSet::All(4);
  bad.push_back(good);
  bad.back().units = IndexSet::All(num_units() + 1);
  for (size_t i = 0; i < bad.size(); ++i) {
    const std::vector<Row> rows = {good, bad[i]};
    const absl::Status status = backend_->Evaluate(rows).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << i;
    const auto detail = base::DetailOf(status);
    ASSERT_TRUE(detail.has_value()) << status;
    EXPECT_NE(detail->reason, "");
    EXPECT_FALSE(backend_->EvaluateExactly(bad[i]).ok()) << i;
  }
}

TEST_P(BackendConformance, RefusesGradientRowsThatDoNotFit) {
  GradientRow good{.prompt = MakePrompt({.tokens = {1, 2}, .target = 3}),
                   .masks = std::vector<float>(num_units(), 0.5f),
                   .positions = IndexSet::All(2)};
  ASSERT_TRUE(backend_->Gradients(std::span(&good, 1)).ok());
  std::vector<GradientRow> bad(4, good);
  bad[0].masks.pop_back();
  bad[1].masks[0] = 1.5f;
  bad[2].masks[0] = std::numeric_limits<float>::quiet_NaN();
  bad[3].positions = IndexSet(2);
  for (const GradientRow& row : bad) {
    EXPECT_EQ(backend_->Gradients(std::span(&row, 1)).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_P(BackendConformance, RefusesPromptsItCannotPredict) {
  const int vocab = backend_->info().vocab_size;
  for (const std::vector<TokenId>& tokens :
       {std::vector<TokenId>{}, std::vector<TokenId>{0, vocab},
        std::vector<TokenId>(backend_->info().context_length + 1, 0)}) {
    EXPECT_EQ(backend_->Predict(tokens, 3).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_P(BackendConformance, NamesTheReferenceByADigestThatAnyoneCanCompute) {
  EXPECT_EQ(*backend_->ReferenceDigest(ReferenceKind::kZero),
            Sha256Hex("zero"));
  EXPECT_EQ(*backend_->ReferenceDigest(ReferenceKind::kMean),
            Sha256Hex("mean[[1,2,3],[4],[5,6,7,8,9]]"));
}

TEST_P(BackendConformance, HasNoMeanReferenceWithoutReferencePrompts) {
  const std::unique_ptr<Backend> bare = GetParam().make({});
  Prompt prompt{.tokens = {1, 2}, .target = 3};
  prompt.reference = ReferenceKind::kMean;
  const Row row{.prompt = MakePrompt(prompt),
                .units = IndexSet::All(bare->units().size()),
                .positions = IndexSet::All(2)};
  const GradientRow gradient_row{
      .prompt = row.prompt,
      .masks = std::vector<float>(bare->units().size(), 1.0f),
      .positions = row.positions};
  constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;
  EXPECT_EQ(bare->Evaluate(std::span(&row, 1)).status().code(), kRefused);
  EXPECT_EQ(bare->Gradients(std::span(&gradient_row, 1)).status().code(),
            kRefused);
  EXPECT_EQ(bare->EvaluateExactly(row).status().code(), kRefused);
  EXPECT_EQ(bare->ReferenceDigest(ReferenceKind::kMean).status().code(),
            kRefused);
  EXPECT_THAT(bare->reference_prompts(), testing::IsEmpty());
}

TEST_P(BackendConformance, AnswersNoRowsWithNothing) {
  EXPECT_THAT(*backend_->Evaluate({}), testing::IsEmpty());
  EXPECT_THAT(*backend_->Gradients({}), testing::IsEmpty());
}

// All rows of an ablation.
std::vector<AblationRow> Ablate(Backend& backend,
                                const AblationRequest& request,
                                std::vector<AblatedPosition>* baseline) {
  auto ablation = backend.Ablate(request);
  EXPECT_TRUE(ablation.ok()) << ablation.status();
  *baseline = (*ablation)->baseline();
  std::vector<AblationRow> rows;
  while (!(*ablation)->done()) {
    auto some = (*ablation)->Next(3);
    EXPECT_TRUE(some.ok()) << some.status();
    rows.insert(rows.end(), some->begin(), some->end());
  }
  EXPECT_EQ(static_cast<int64_t>(rows.size()), (*ablation)->num_rows());
  return rows;
}

TEST_P(BackendConformance, AnAblationOfNothingIsThePrediction) {
  AblationRequest request{.tokens = {3, 1, 4, 1, 5}, .every_position = true};
  std::vector<AblatedPosition> baseline;
  const auto rows = Ablate(*backend_, request, &baseline);
  const auto predictions = *backend_->Predict(request.tokens, 5);
  ASSERT_EQ(rows.size(), 1u);
  ASSERT_EQ(rows[0].positions.size(), 5u);
  for (size_t t = 0; t < 5; ++t) {
    for (const AblatedPosition& read : {rows[0].positions[t], baseline[t]}) {
      ASSERT_EQ(read.top.size(), 5u);
      EXPECT_EQ(read.target, predictions[t].top[0].token);
      EXPECT_NEAR(read.kl, 0, 1e-6);
      EXPECT_NEAR(read.margin,
                  predictions[t].top[0].logit - predictions[t].top[1].logit,
                  Tolerance());
      for (size_t i = 0; i < 5; ++i) {
        EXPECT_NEAR(read.top[i].log_probability,
                    predictions[t].top[i].log_probability, Tolerance());
      }
      if (t + 1 < 5) {
        EXPECT_NEAR(*read.cross_entropy,
                    -predictions[t].next_token_log_probability, Tolerance());
      }
    }
  }
}

// Units off everywhere are rows without them.
TEST_P(BackendConformance, ASweepOverUnitsGivesTheirRows) {
  Prompt prompt{.tokens = {3, 1, 4, 1, 5}, .target = 2};
  AblationRequest request{.tokens = prompt.tokens, .target = prompt.target};
  const std::shared_ptr<const Prompt> shared = MakePrompt(prompt);
  IndexSet fewer = IndexSet::All(num_units());
  std::vector<Row> each, cumulative;
  for (int id = 0; id < num_units(); id += 3) {
    const Unit unit = backend_->units().At(id);
    request.swept.push_back({.kind = unit.kind == UnitKind::kHead
                                         ? InterventionKind::kHead
                                         : InterventionKind::kNeuron,
                             .site = unit.layer,
                             .index = unit.index});
    IndexSet units = IndexSet::All(num_units());
    units.Remove(id);
    fewer.Remove(id);
    each.push_back({shared, units, IndexSet::All(5)});
    cumulative.push_back({shared, fewer, IndexSet::All(5)});
  }
  for (const SweepKind kind : {SweepKind::kEach, SweepKind::kCumulative}) {
    request.sweep = kind;
    std::vector<AblatedPosition> baseline;
    const auto rows = Ablate(*backend_, request, &baseline);
    const auto results =
        *backend_->Evaluate(kind == SweepKind::kEach ? each : cumulative);
    ASSERT_EQ(rows.size(), results.size() + 1);
    for (size_t i = 0; i < results.size(); ++i) {
      EXPECT_EQ(rows[i + 1].step, static_cast<int64_t>(i));
      ASSERT_EQ(rows[i + 1].positions.size(), 1u);
      const AblatedPosition& read = rows[i + 1].positions[0];
      EXPECT_NEAR(read.margin, results[i].margin, Tolerance());
      EXPECT_NEAR(read.target_log_probability,
                  results[i].target_log_probability, Tolerance());
    }
  }
}

TEST_P(BackendConformance, RefusesAblationsThatCannotBe) {
  AblationRequest request{.tokens = {1, 2}, .decomposition = "nobody"};
  EXPECT_EQ(backend_->FindDecomposition("nobody"), nullptr);
  EXPECT_EQ(backend_->Ablate(request).status().code(),
            absl::StatusCode::kNotFound);
  request.decomposition.clear();
  request.strategy = MaskStrategy::kUnmasked;
  EXPECT_EQ(base::DetailOf(backend_->Ablate(request).status())->reason,
            "NO_DECOMPOSITION");
  request.strategy = MaskStrategy::kTarget;
  request.tokens.clear();
  EXPECT_EQ(base::DetailOf(backend_->Ablate(request).status())->reason,
            "EMPTY_PROMPT");
}

TEST_P(BackendConformance, DescribesItself) {
  const ModelInfo& info = backend_->info();
  EXPECT_EQ(num_units(), info.num_layers * (info.num_heads + info.num_neurons));
  EXPECT_GT(backend_->calibration().noise_floor, 0);
  EXPECT_GE(backend_->calibration().t0_seconds, 0);
  EXPECT_GE(backend_->calibration().t1_seconds, 0);
  EXPECT_NE(info.digest, "");
}

std::string BackendName(const testing::TestParamInfo<NamedBackend>& backend) {
  return backend.param.name;
}

INSTANTIATE_TEST_SUITE_P(Backends,
                         BackendConformance,
                         testing::ValuesIn(Backends()),
                         BackendName);

}  // namespace
}  // namespace spar::models
