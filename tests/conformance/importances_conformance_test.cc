// What every Backend promises about resident decompositions, asked of each: the
// fake, LibTorch on the CPU, and LibTorch on CUDA where there is one.
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "base/status.h"
#include "models/ablation.h"
#include "models/decomposition/random_decomposition.h"
#include "models/evaluation.h"
#include "models/fake_backend.h"
#include "models/splitting_backend.h"
#include "models/torch/torch_backend.h"
#include "tests/conformance/models.h"

namespace spar::models {
namespace {

using ::testing::HasSubstr;
using Prompts = std::vector<std::vector<TokenId>>;

struct NamedDecomposed {
  std::string name = {};
  std::function<std::unique_ptr<Backend>()> make = nullptr;
};

void PrintTo(const NamedDecomposed& backend, std::ostream* out) {
  *out << backend.name;
}

std::shared_ptr<const Decomposition> RandomOf(const Snapshot& snapshot,
                                              CiSpec ci,
                                              uint64_t seed) {
  return MakeRandomDecomposition(
      RandomDecompositionSpec(
          snapshot,
          {{ModuleSite::kQ, 5}, {ModuleSite::kO, 7}, {ModuleSite::kDown, 9}},
          std::move(ci)),
      {.seed = seed});
}

std::unique_ptr<Backend> MakeDecomposedTorch(const std::string& device,
                                             const std::string& dtype) {
  const NamedModel model = SmallModels()[1];
  const auto snapshot = MakeRandomSnapshot(model.shape, model.biases, 5);
  CiSpec transformer{.kind = CiKind::kGlobalSharedTransformer,
                     .hidden = {9},
                     .width = 8,
                     .num_blocks = 1};
  transformer.attention = {.num_heads = 2, .max_positions = 12};
  TorchBackendOptions options;
  options.device = device;
  options.num_threads = device == "cpu" ? 1 : 0;
  options.decomposition_dtype = dtype;
  options.decompositions = {
      {.name = "main", .decomposition = RandomOf(*snapshot, transformer, 1)},
      {.name = "other",
       .decomposition =
           RandomOf(*snapshot, {.kind = CiKind::kMlp, .hidden = {3}}, 2)}};
  auto backend = MakeTorchBackend(snapshot, options);
  return backend.ok() ? *std::move(backend) : nullptr;
}

std::vector<NamedDecomposed> DecomposedBackends() {
  std::vector<NamedDecomposed> backends;
  backends.push_back({"Fake", [] {
                        FakeBackendOptions options;
                        options.decompositions = {"main", "other"};
                        return std::make_unique<FakeBackend>(options);
                      }});
  backends.push_back(
      {"TorchCpu", [] { return MakeDecomposedTorch("cpu", "float32"); }});
  backends.push_back({"TorchCpuBfloat16",
                      [] { return MakeDecomposedTorch("cpu", "bfloat16"); }});
  if (MakeDecomposedTorch("cuda", "float32") != nullptr) {
    backends.push_back(
        {"TorchCuda", [] { return MakeDecomposedTorch("cuda", "float32"); }});
  }
  return backends;
}

class ImportancesConformance : public testing::TestWithParam<NamedDecomposed> {
 protected:
  ImportancesConformance() : backend_(GetParam().make()) {}

  std::vector<PromptImportances> Run(const Prompts& prompts, double threshold) {
    auto results =
        backend_->Importances("main", prompts, {.threshold = threshold});
    EXPECT_TRUE(results.ok()) << results.status();
    return results.ok() ? *std::move(results)
                        : std::vector<PromptImportances>{};
  }

  const Prompts prompts_ = {{1, 2, 3, 4}, {5}, {9, 8, 7, 6}, {1, 2, 3}};
  const std::unique_ptr<Backend> backend_;
};

TEST_P(ImportancesConformance, DescribesItsDecompositions) {
  const std::span<const DecompositionInfo> infos = backend_->decompositions();
  ASSERT_EQ(infos.size(), 2u);
  EXPECT_EQ(infos[0].name, "main");
  EXPECT_EQ(infos[1].name, "other");
  EXPECT_NE(infos[0].digest, infos[1].digest);
  for (const DecompositionInfo& info : infos) {
    EXPECT_EQ(info.spec.target_weights_digest, backend_->info().weights_digest);
    EXPECT_GT(info.memory_bytes, 0);
    EXPECT_LT(info.identity_error, 1e-5);
    EXPECT_GE(info.identity_error, 0);
    ASSERT_EQ(info.modules.size(), info.spec.modules.size());
    for (size_t m = 0; m < info.modules.size(); ++m) {
      EXPECT_EQ(info.modules[m].component_norms.size(),
                static_cast<size_t>(info.spec.modules[m].num_components));
      EXPECT_GT(info.modules[m].weight_norm, 0);
    }
  }
}

TEST_P(ImportancesConformance, ListsAscendAndFitTheirModules) {
  const double threshold = 0.1;
  const std::vector<PromptImportances> results = Run(prompts_, threshold);
  ASSERT_EQ(results.size(), prompts_.size());
  const DecompositionSpec& spec = backend_->decompositions()[0].spec;
  size_t total = 0;
  for (size_t p = 0; p < prompts_.size(); ++p) {
    ASSERT_EQ(results[p].modules.size(), spec.modules.size());
    for (size_t m = 0; m < spec.modules.size(); ++m) {
      const ModuleImportances& module = results[p].modules[m];
      ASSERT_EQ(module.begin.size(), prompts_[p].size() + 1);
      EXPECT_EQ(module.begin.front(), 0);
      ASSERT_EQ(static_cast<size_t>(module.begin.back()),
                module.component.size());
      ASSERT_EQ(module.importance.size(), module.component.size());
      ASSERT_EQ(module.activation.size(), module.component.size());
      for (size_t t = 0; t < prompts_[p].size(); ++t) {
        for (int64_t i = module.begin[t]; i < module.begin[t + 1]; ++i) {
          EXPECT_GT(module.importance[i], threshold);
          EXPECT_LE(module.importance[i], 1);
          EXPECT_LT(module.component[i], spec.modules[m].num_components);
          if (i > module.begin[t]) {
            EXPECT_GT(module.component[i], module.component[i - 1]);
          }
        }
      }
      total += module.component.size();
    }
  }
  EXPECT_GT(total, 20u);
}

TEST_P(ImportancesConformance, AHigherThresholdKeepsThoseAboveIt) {
  const std::vector<PromptImportances> all = Run(prompts_, 0);
  const std::vector<PromptImportances> some = Run(prompts_, 0.5);
  for (size_t p = 0; p < all.size(); ++p) {
    for (size_t m = 0; m < all[p].modules.size(); ++m) {
      const ModuleImportances& from = all[p].modules[m];
      ModuleImportances want;
      for (size_t t = 0; t < prompts_[p].size(); ++t) {
        for (int64_t i = from.begin[t]; i < from.begin[t + 1]; ++i) {
          if (from.importance[i] <= 0.5f) continue;
          want.component.push_back(from.component[i]);
          want.importance.push_back(from.importance[i]);
          want.activation.push_back(from.activation[i]);
        }
        want.begin.push_back(static_cast<int64_t>(want.component.size()));
      }
      EXPECT_EQ(some[p].modules[m], want);
    }
  }
}

TEST_P(ImportancesConformance, AnswersDoNotDependOnTheRestOfTheBatch) {
  const std::vector<PromptImportances> together = Run(prompts_, 0.2);
  for (size_t p = 0; p < prompts_.size(); ++p) {
    const std::vector<PromptImportances> alone = Run({prompts_[p]}, 0.2);
    ASSERT_EQ(alone.size(), 1u);
    for (size_t m = 0; m < alone[0].modules.size(); ++m) {
      EXPECT_EQ(alone[0].modules[m].component,
                together[p].modules[m].component);
      EXPECT_THAT(alone[0].modules[m].importance,
                  testing::Pointwise(testing::FloatNear(1e-5f),
                                     together[p].modules[m].importance));
    }
  }
}

TEST_P(ImportancesConformance, RefusesWhatDoesNotFitByField) {
  const auto refusal = [&](std::string_view name, const Prompts& prompts,
                           double threshold) {
    const auto results =
        backend_->Importances(name, prompts, {.threshold = threshold});
    EXPECT_FALSE(results.ok());
    return results.status();
  };
  const auto reason = [](const absl::Status& status) {
    return base::DetailOf(status)->reason + " " + base::DetailOf(status)->field;
  };
  const absl::Status unknown = refusal("missing", prompts_, 0);
  EXPECT_EQ(unknown.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(reason(unknown), "DECOMPOSITION_NOT_FOUND decomposition");
  EXPECT_EQ(reason(refusal("main", {{1}, {}}, 0)),
            "EMPTY_PROMPT prompts[1].tokens");
  EXPECT_EQ(reason(refusal("main", {{1}, {2, -1}}, 0)),
            "TOKEN_OUT_OF_RANGE prompts[1].tokens[1]");
  EXPECT_EQ(reason(refusal("main", {std::vector<TokenId>(1000, 1)}, 0)),
            "PROMPT_TOO_LONG prompts[0].tokens");
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), -0.5,
                           std::numeric_limits<double>::infinity()}) {
    EXPECT_EQ(reason(refusal("main", prompts_, bad)),
              "THRESHOLD_OUT_OF_RANGE threshold");
  }
  EXPECT_THAT(Run({}, 0), testing::IsEmpty());
}

// The parts of one kind, in order.
template <typename Part>
std::vector<Part> PartsOf(const std::vector<EvaluationPart>& all) {
  std::vector<Part> parts;
  for (const EvaluationPart& part : all) {
    if (const Part* const of_kind = std::get_if<Part>(&part)) {
      parts.push_back(*of_kind);
    }
  }
  return parts;
}

EvaluationRequest JudgeRequest() {
  EvaluationRequest request;
  request.decomposition = "main";
  request.rows = {{1, 2, 3, 4}, {9, 8, 7, 6, 5}, {3, 3}};
  request.batch_rows = 2;
  request.sweep = {0, 0.3, 1};
  request.attack = EvaluationAttack{.step_counts = {0, 2}};
  return request;
}

std::vector<EvaluationPart> RunEvaluation(Backend& backend,
                                          const EvaluationRequest& request) {
  std::vector<EvaluationPart> all;
  const auto evaluation = backend.EvaluateDecomposition(request);
  EXPECT_TRUE(evaluation.ok()) << evaluation.status();
  if (!evaluation.ok()) return all;
  int64_t steps = 0;
  while (!(*evaluation)->done()) {
    auto parts = (*evaluation)->Next();
    EXPECT_TRUE(parts.ok()) << parts.status();
    if (!parts.ok()) return all;
    for (EvaluationPart& part : *parts) all.push_back(std::move(part));
    EXPECT_EQ((*evaluation)->state().steps, ++steps);
  }
  EXPECT_EQ((*evaluation)->state().max_steps, steps);
  return all;
}

TEST_P(ImportancesConformance, JudgesBesideWhatTheModelAndImportancesSay) {
  EvaluationRequest request = JudgeRequest();
  const DecompositionSpec& spec = backend_->decompositions()[0].spec;
  request.subsets.emplace_back();
  for (size_t m = 0; m < spec.modules.size(); ++m) {
    request.subsets[0].modules.push_back(static_cast<int>(m));
  }
  const std::vector<EvaluationPart> all = RunEvaluation(*backend_, request);
  ASSERT_EQ(PartsOf<Faithfulness>(all).size(), 1u);
  EXPECT_EQ(PartsOf<OutputErrors>(all).size(), 2u);
  EXPECT_EQ(PartsOf<PatternErrors>(all).size(), 2u);

  double cross_entropy = 0;
  for (const std::vector<TokenId>& row : request.rows) {
    const auto predictions = *backend_->Predict(row, 1);
    for (const PositionPrediction& position : predictions) {
      cross_entropy -= position.next_token_log_probability / 8.0;
    }
  }
  const auto tables = PartsOf<Reconstruction>(all);
  ASSERT_EQ(tables.size(), 2u);
  EXPECT_NEAR(tables[0].readings[0].cross_entropy, cross_entropy, 1e-5);
  EXPECT_NEAR(tables[0].readings[0].kl, 0, 1e-6);
  for (size_t i = 0; i < tables[0].readings.size(); ++i) {
    const MaskedReading& reading = tables[0].readings[i];
    EXPECT_EQ(reading.masks, static_cast<EvaluationMasks>(i));
    EXPECT_GE(reading.kl, i == 0 ? -1e-6 : 1e-7);
    // All modules are what a subset of all has, its draws included.
    EXPECT_NEAR(tables[1].readings[i].kl, reading.kl, 1e-5);
  }

  const auto sparsity = PartsOf<Sparsity>(all);
  const auto curves = PartsOf<SparsityCurve>(all);
  ASSERT_EQ(curves.size(), 2u);
  for (size_t i = 0; i < request.sweep.size(); ++i) {
    const auto kept = *backend_->Importances("main", request.rows,
                                             {.threshold = request.sweep[i]});
    for (size_t m = 0; m < spec.modules.size(); ++m) {
      double l0 = 0;
      for (const PromptImportances& row : kept) {
        l0 += static_cast<double>(row.modules[m].component.size()) / 11;
      }
      EXPECT_NEAR(curves[0].points[i].module_l0[m], l0, 1e-9);
      if (i == 0) {
        EXPECT_NEAR(sparsity[0].modules[m].mean_l0, l0, 1e-9);
      }
    }
  }
  EXPECT_EQ(curves[0].points[2].mean_l0, 0);
  EXPECT_NEAR(curves[0].points[2].kl, tables[0].readings.back().kl, 1e-5);
  EXPECT_NEAR(curves[0].points[0].kl, tables[0].readings[3].kl, 1e-5);

  const auto attacks = PartsOf<AttackCurve>(all);
  ASSERT_EQ(attacks.size(), 2u);
  for (const AttackCurve& attack : attacks) {
    EXPECT_EQ(attack.num_positions, 11);
    EXPECT_GT(attack.points[0].kl, 0);
  }
}

TEST_P(ImportancesConformance, RefusesToJudgeWhatDoesNotFit) {
  const auto refusal = [&](const EvaluationRequest& request) {
    const absl::Status status =
        backend_->EvaluateDecomposition(request).status();
    EXPECT_FALSE(status.ok());
    const auto detail = base::DetailOf(status);
    return detail ? detail->reason + " " + detail->field : "none";
  };
  EvaluationRequest request = JudgeRequest();
  request.decomposition = "missing";
  EXPECT_EQ(refusal(request), "DECOMPOSITION_NOT_FOUND decomposition");
  request = JudgeRequest();
  request.rows.clear();
  EXPECT_EQ(refusal(request), "OPTION_OUT_OF_RANGE prompts");
  request = JudgeRequest();
  request.rows.push_back({1});
  EXPECT_EQ(refusal(request), "PROMPT_TOO_SHORT rows[3]");
  request.rows.back() = std::vector<TokenId>(1000, 1);
  EXPECT_EQ(refusal(request), "PROMPT_TOO_LONG rows[3].tokens");
  request.rows.back() = {1, -1};
  EXPECT_EQ(refusal(request), "TOKEN_OUT_OF_RANGE rows[3].tokens[1]");
  request = JudgeRequest();
  request.subsets = {{.modules = {0, 99}}};
  EXPECT_EQ(refusal(request),
            "OPTION_OUT_OF_RANGE options.subsets[0].modules[1]");
  request = JudgeRequest();
  request.sweep.push_back(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(refusal(request),
            "OPTION_OUT_OF_RANGE options.sweep_thresholds[3]");
}

std::string DecomposedName(
    const testing::TestParamInfo<NamedDecomposed>& backend) {
  return backend.param.name;
}

INSTANTIATE_TEST_SUITE_P(DecomposedBackends,
                         ImportancesConformance,
                         testing::ValuesIn(DecomposedBackends()),
                         DecomposedName);

TEST(SplittingBackendImportances, AreTheInnerBackends) {
  FakeBackendOptions options;
  options.decompositions = {"main"};
  FakeBackend inner(options);
  SplittingBackend splitting(std::make_unique<FakeBackend>(options));
  const Prompts prompts = {{1, 2}, {3}};
  ASSERT_EQ(splitting.decompositions().size(), 1u);
  EXPECT_EQ(splitting.decompositions()[0], inner.decompositions()[0]);
  EXPECT_EQ(*splitting.Importances("main", prompts, {}),
            *inner.Importances("main", prompts, {}));
}

// KL of the last position from the model, under a strategy of masks.
double KlUnder(Backend& backend, MaskStrategy strategy) {
  AblationRequest request;
  request.tokens = {3, 1, 4, 1, 5};
  request.decomposition = "main";
  request.strategy = strategy;
  const auto ablation = backend.Ablate(request);
  EXPECT_TRUE(ablation.ok()) << ablation.status();
  if (!ablation.ok()) return -1;
  const auto rows = (*ablation)->Next(4);
  EXPECT_TRUE(rows.ok()) << rows.status();
  if (!rows.ok() || rows->size() != 1) return -1;
  return (*rows)[0].positions.at(0).kl;
}

TEST(TorchBackendDecompositions, AreWhatAblationsMask) {
  const std::unique_ptr<Backend> backend =
      MakeDecomposedTorch("cpu", "float32");
  ASSERT_NE(backend, nullptr);
  ASSERT_NE(backend->FindDecomposition("other"), nullptr);
  EXPECT_EQ(*backend->FindDecomposition("other"),
            backend->decompositions()[1].spec);
  EXPECT_EQ(backend->FindDecomposition("missing"), nullptr);
  EXPECT_NEAR(KlUnder(*backend, MaskStrategy::kTarget), 0, 1e-6);
  EXPECT_GT(KlUnder(*backend, MaskStrategy::kUnmasked), 1e-4);
  const double by_importance =
      KlUnder(*backend, MaskStrategy::kCausalImportance);
  EXPECT_GT(by_importance, 1e-4);
  EXPECT_GT(
      std::abs(by_importance - KlUnder(*backend, MaskStrategy::kUnmasked)),
      1e-6);
}

TEST(TorchBackendDecompositions, RefuseAblationsBeyondTheCiFunctionsReach) {
  const std::unique_ptr<Backend> backend =
      MakeDecomposedTorch("cpu", "float32");
  ASSERT_NE(backend, nullptr);
  AblationRequest request;
  request.tokens.assign(13, 2);
  request.decomposition = "main";
  request.strategy = MaskStrategy::kCausalImportance;
  const auto ablation = backend->Ablate(request);
  ASSERT_FALSE(ablation.ok());
  EXPECT_EQ(base::DetailOf(ablation.status())->reason, "PROMPT_TOO_LONG");
}

TEST(TorchBackendDecompositions, AreRefusedWithTheirNames) {
  const NamedModel model = SmallModels()[0];
  const auto snapshot = MakeRandomSnapshot(model.shape, model.biases, 5);
  TorchBackendOptions options;
  options.decompositions = {
      {.name = "twice",
       .decomposition =
           RandomOf(*snapshot, {.kind = CiKind::kMlp, .hidden = {3}}, 2)}};
  options.decomposition_dtype = "float16";
  EXPECT_THAT(std::string(base::MessageOf(
                  MakeTorchBackend(snapshot, options).status())),
              HasSubstr("float16"));
  options.decomposition_dtype = "float32";
  options.decompositions.push_back(options.decompositions[0]);
  EXPECT_THAT(std::string(base::MessageOf(
                  MakeTorchBackend(snapshot, options).status())),
              HasSubstr("two decompositions are named twice"));
}

}  // namespace
}  // namespace spar::models
