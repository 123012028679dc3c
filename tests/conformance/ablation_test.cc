// Ablations against plain float64 loops, and their promises.
#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "gtest/gtest.h"

#include "base/status.h"
#include "models/decomposition/random_decomposition.h"
#include "models/torch/ablation/torch_ablation.h"
#include "models/torch/aten.h"
#include "tests/conformance/models.h"
#include "tests/conformance/plain_decoder.h"
#include "tests/conformance/rows.h"

namespace spar::models {
namespace {

constexpr int kComponents = 11;

// log p by row.
Matrix LogSoftmax(Matrix logits) {
  for (Vector& row : logits) {
    const double largest = *std::max_element(row.begin(), row.end());
    double sum = 0;
    for (const double value : row) sum += std::exp(value - largest);
    for (double& value : row) value -= largest + std::log(sum);
  }
  return logits;
}

TokenId Best(const Vector& row) {
  return static_cast<TokenId>(std::max_element(row.begin(), row.end()) -
                              row.begin());
}

class AblationTest : public testing::TestWithParam<NamedModel> {
 protected:
  AblationTest()
      : snapshot_(MakeRandomSnapshot(GetParam().shape, GetParam().biases, 3)),
        decoder_(LoadDecoder(*snapshot_, at::kCPU, at::kFloat)),
        decomposition_(MakeRandomDecomposition(
            RandomDecompositionSpec(*snapshot_, Sites(), CiSpec{}),
            {.seed = 5})),
        decomposed_(decoder_,
                    LoadComponents(*decomposition_, at::kCPU, at::kFloat)) {
    subject_.model = &decoder_;
    subject_.decomposed = &decomposed_;
    subject_.importances = [this](std::span<const TokenId> tokens)
        -> absl::StatusOr<std::vector<at::Tensor>> {
      return ImportancesOf(tokens);
    };
    request_.tokens = RandomTokens(random_, decoder_.spec.vocab_size, 7);
    request_.decomposition = "d";
    request_.every_position = true;
    request_.top_k = 3;
  }

  static std::map<ModuleSite, int> Sites() {
    std::map<ModuleSite, int> components;
    for (const ModuleSite site :
         {ModuleSite::kEmbedding, ModuleSite::kQ, ModuleSite::kV,
          ModuleSite::kQkv, ModuleSite::kO, ModuleSite::kUp,
          ModuleSite::kDown}) {
      components[site] = kComponents;
    }
    return components;
  }

  // Sparse, and a function of the prompt.
  std::vector<at::Tensor> ImportancesOf(std::span<const TokenId> tokens) const {
    std::vector<at::Tensor> importances;
    for (size_t m = 0; m < decomposed_.modules().size(); ++m) {
      at::Tensor g =
          at::zeros({static_cast<int64_t>(tokens.size()), kComponents});
      float* value = g.mutable_data_ptr<float>();
      for (const TokenId token : tokens) {
        for (int c = 0; c < kComponents; ++c) {
          const int mixed = (token * 7 + c * 5 + static_cast<int>(m) * 3) % 13;
          *value++ = mixed < 6 ? static_cast<float>(mixed) / 5 : 0;
        }
      }
      importances.push_back(g);
    }
    return importances;
  }

  std::vector<AblationRow> RowsOf(const AblationRequest& request,
                                  int max_rows = 64,
                                  AblationLimits limits = {}) {
    auto ablation = MakeTorchAblation(subject_, request, limits);
    EXPECT_TRUE(ablation.ok()) << ablation.status();
    std::vector<AblationRow> rows;
    while (!(*ablation)->done()) {
      auto some = (*ablation)->Next(max_rows);
      EXPECT_TRUE(some.ok()) << some.status();
      EXPECT_LE(some->size(), static_cast<size_t>(max_rows));
      for (AblationRow& row : *some) rows.push_back(std::move(row));
    }
    if (request.generation.max_tokens == 0) {
      EXPECT_EQ(static_cast<int64_t>(rows.size()), (*ablation)->num_rows());
    }
    baseline_ = (*ablation)->baseline();
    return rows;
  }

  // The masks of a request without randomness, by the definition.
  PlainDecoder PlainOf(const AblationRequest& request,
                       const std::vector<TokenId>& tokens,
                       const std::vector<Intervention>& interventions) const {
    PlainDecoder plain(*snapshot_);
    const size_t length = tokens.size();
    const std::vector<at::Tensor> importances = ImportancesOf(tokens);
    for (size_t m = 0; m < decomposed_.modules().size(); ++m) {
      const ComponentModule& module = decomposed_.modules()[m];
      PlainModule& to = plain.modules[module.module.name + ".weight"];
      const float* v = module.v.const_data_ptr<float>();
      const float* u = module.u.const_data_ptr<float>();
      for (int c = 0; c < kComponents; ++c) {
        to.v.emplace_back(v + c * module.module.d_in,
                          v + (c + 1) * module.module.d_in);
        to.u.emplace_back(u + c * module.module.d_out,
                          u + (c + 1) * module.module.d_out);
      }
      const float* g = importances[m].const_data_ptr<float>();
      for (size_t t = 0; t < length; ++t) {
        Vector masks;
        for (int c = 0; c < kComponents; ++c) masks.push_back(*g++);
        double delta = 0;
        switch (request.strategy) {
          case MaskStrategy::kTarget:
            delta = 1;
            [[fallthrough]];
          case MaskStrategy::kUnmasked:
            masks.assign(kComponents, 1);
            break;
          case MaskStrategy::kRounded:
            for (double& mask : masks) mask = mask > request.threshold;
            break;
          case MaskStrategy::kNone:
            masks.assign(kComponents, 0);
            break;
          default:
            break;
        }
        to.masks.push_back(masks);
        to.deltas.push_back(request.delta.value_or(delta));
      }
      for (const Intervention& change : interventions) {
        if (change.site != static_cast<int32_t>(m)) continue;
        for (size_t t = 0; t < length; ++t) {
          if (change.position >= 0 &&
              change.position != static_cast<int32_t>(t)) {
            continue;
          }
          double* mask = nullptr;
          if (change.kind == InterventionKind::kSubcomponent) {
            mask = &to.masks[t][change.index];
          } else if (change.kind == InterventionKind::kDelta) {
            mask = &to.deltas[t];
          }
          if (mask != nullptr) *mask = change.factor * *mask + change.offset;
        }
      }
    }
    const auto scale = [interventions](InterventionKind kind, int layer, int t,
                                       int index) {
      double value = 1;
      for (const Intervention& change : interventions) {
        if (change.kind == kind && change.site == layer &&
            change.index == index &&
            (change.position < 0 || change.position == t)) {
          value = change.factor * value + change.offset;
        }
      }
      return value;
    };
    plain.head_scale = [scale](int layer, int t, int head) {
      return scale(InterventionKind::kHead, layer, t, head);
    };
    plain.neuron_scale = [scale](int layer, int t, int neuron) {
      return scale(InterventionKind::kNeuron, layer, t, neuron);
    };
    return plain;
  }

  std::vector<TokenId> Edited(const AblationRequest& request) const {
    std::vector<TokenId> tokens = request.tokens;
    for (const TokenEdit& edit : request.edits) {
      tokens[edit.position] = edit.token;
    }
    return tokens;
  }

  // Everything a row says, recomputed.
  void ExpectPlain(const AblationRequest& request,
                   const AblationRow& row,
                   const std::vector<Intervention>& interventions) {
    const std::vector<TokenId> tokens = Edited(request);
    const Matrix logits =
        PlainOf(request, tokens, interventions).Logits(tokens);
    const Matrix run = LogSoftmax(logits);
    const Matrix model_logits = PlainDecoder(*snapshot_).Logits(request.tokens);
    const Matrix model = LogSoftmax(model_logits);
    ASSERT_EQ(row.positions.size(), request.tokens.size());
    for (size_t t = 0; t < tokens.size(); ++t) {
      const AblatedPosition& got = row.positions[t];
      const std::string where = base::Cat("step ", row.step, ", position ", t);
      const double tolerance =
          2e-4 * std::max(1.0, std::abs(*std::max_element(logits[t].begin(),
                                                          logits[t].end())));
      EXPECT_EQ(got.position, static_cast<int32_t>(t));
      double kl = 0;
      for (size_t i = 0; i < run[t].size(); ++i) {
        kl += std::exp(model[t][i]) * (model[t][i] - run[t][i]);
      }
      EXPECT_NEAR(got.kl, kl, 10 * tolerance) << where;
      if (t + 1 < tokens.size()) {
        ASSERT_TRUE(got.cross_entropy.has_value());
        EXPECT_NEAR(*got.cross_entropy, -run[t][request.tokens[t + 1]],
                    tolerance)
            << where;
      } else {
        EXPECT_FALSE(got.cross_entropy.has_value());
      }
      const TokenId target = request.target.value_or(Best(model_logits[t]));
      EXPECT_EQ(got.target, target) << where;
      EXPECT_NEAR(got.target_log_probability, run[t][target], tolerance)
          << where;
      double other = -1e300;
      for (size_t i = 0; i < logits[t].size(); ++i) {
        if (static_cast<TokenId>(i) != target) {
          other = std::max(other, logits[t][i]);
        }
      }
      EXPECT_NEAR(got.margin, logits[t][target] - other, tolerance) << where;
      ASSERT_EQ(got.top.size(), static_cast<size_t>(request.top_k));
      Vector sorted = logits[t];
      std::sort(sorted.rbegin(), sorted.rend());
      for (size_t i = 0; i < got.top.size(); ++i) {
        EXPECT_NEAR(got.top[i].logit, sorted[i], tolerance) << where;
        EXPECT_NEAR(logits[t][got.top[i].token], sorted[i], tolerance) << where;
        EXPECT_NEAR(got.top[i].log_probability, run[t][got.top[i].token],
                    tolerance)
            << where;
      }
    }
  }

  // One of each kind, at a position and everywhere, off, scaled and set.
  std::vector<Intervention> Assorted() {
    std::vector<Intervention> some;
    const int modules = static_cast<int>(decomposed_.modules().size());
    for (int i = 0; i < 14; ++i) {
      Intervention change;
      change.kind = static_cast<InterventionKind>(i % 4);
      const bool unit = i % 4 >= 2;
      change.site = static_cast<int32_t>(
          random_() % (unit ? decoder_.spec.num_layers : modules));
      const int counts[] = {kComponents, 1, decoder_.spec.num_heads,
                            decoder_.spec.mlp_width};
      change.index = static_cast<int32_t>(random_() % counts[i % 4]);
      change.position =
          i % 3 == 0 ? kEveryPosition : static_cast<int32_t>(random_() % 7);
      change.factor = i % 2 == 0 ? 0 : -0.5;
      change.offset = i % 5 == 0 ? 1.5 : 0;
      some.push_back(change);
    }
    return some;
  }

  static void ExpectSame(const std::vector<AblationRow>& got,
                         const std::vector<AblationRow>& want,
                         double tolerance = 1e-4) {
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) {
      EXPECT_EQ(got[i].step, want[i].step);
      EXPECT_EQ(got[i].sample, want[i].sample);
      ASSERT_EQ(got[i].positions.size(), want[i].positions.size());
      for (size_t t = 0; t < want[i].positions.size(); ++t) {
        EXPECT_NEAR(got[i].positions[t].margin, want[i].positions[t].margin,
                    tolerance);
        EXPECT_NEAR(got[i].positions[t].kl, want[i].positions[t].kl, tolerance);
      }
    }
  }

  static double MeanKl(const AblationRow& row) {
    double sum = 0;
    for (const AblatedPosition& position : row.positions) sum += position.kl;
    return sum / static_cast<double>(row.positions.size());
  }

  const std::shared_ptr<const Snapshot> snapshot_;
  const Decoder decoder_;
  const std::shared_ptr<const Decomposition> decomposition_;
  DecomposedDecoder decomposed_;
  AblationSubject subject_ = {};
  AblationRequest request_ = {};
  std::mt19937 random_{17};
  std::vector<AblatedPosition> baseline_ = {};
};

constexpr MaskStrategy kFixed[] = {MaskStrategy::kTarget,
                                   MaskStrategy::kUnmasked,
                                   MaskStrategy::kCausalImportance,
                                   MaskStrategy::kRounded, MaskStrategy::kNone};

TEST_P(AblationTest, EveryStrategyEqualsThePlainLoops) {
  request_.threshold = 0.5;
  for (const MaskStrategy strategy : kFixed) {
    request_.strategy = strategy;
    for (const bool delta : {false, true}) {
      request_.delta = delta ? std::optional<double>(0.6) : std::nullopt;
      const auto rows = RowsOf(request_);
      ASSERT_EQ(rows.size(), 1u);
      ExpectPlain(request_, rows[0], {});
    }
  }
}

TEST_P(AblationTest, TheTargetStrategyIsTheModel) {
  const auto rows = RowsOf(request_);
  ASSERT_EQ(rows.size(), 1u);
  ASSERT_EQ(rows[0].positions.size(), baseline_.size());
  for (size_t t = 0; t < baseline_.size(); ++t) {
    EXPECT_EQ(baseline_[t].kl, 0);
    EXPECT_LT(rows[0].positions[t].kl, 1e-6);
    EXPECT_NEAR(rows[0].positions[t].margin, baseline_[t].margin, 1e-4);
    EXPECT_EQ(baseline_[t].top[0].token, baseline_[t].target);
  }
}

TEST_P(AblationTest, InterventionsEqualThePlainLoops) {
  for (const MaskStrategy strategy : kFixed) {
    request_.strategy = strategy;
    request_.interventions = Assorted();
    const auto rows = RowsOf(request_);
    ASSERT_EQ(rows.size(), 1u);
    ExpectPlain(request_, rows[0], request_.interventions);
  }
}

TEST_P(AblationTest, SweepsEqualThePlainLoops) {
  for (const SweepKind kind : {SweepKind::kEach, SweepKind::kCumulative}) {
    request_.strategy = MaskStrategy::kCausalImportance;
    request_.sweep = kind;
    request_.interventions = Assorted();
    request_.interventions.resize(3);
    request_.swept = Assorted();
    const auto rows = RowsOf(request_, 6);
    ASSERT_EQ(rows.size(), request_.swept.size() + 1);
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(rows[i].step, static_cast<int64_t>(i) - 1);
      std::vector<Intervention> all = request_.interventions;
      const size_t first = kind == SweepKind::kEach && i > 0 ? i - 1 : 0;
      for (size_t s = first; s < i; ++s) all.push_back(request_.swept[s]);
      ExpectPlain(request_, rows[i], all);
    }
  }
}

TEST_P(AblationTest, BatchesAndLateEntryChangeNothing) {
  for (const MaskStrategy strategy :
       {MaskStrategy::kTarget, MaskStrategy::kCausalImportance,
        MaskStrategy::kStochastic}) {
    request_.strategy = strategy;
    request_.samples = strategy == MaskStrategy::kStochastic ? 2 : 1;
    request_.swept = Assorted();
    const auto plain = RowsOf(request_, 1, AblationLimits{.enter_late = false});
    ExpectSame(RowsOf(request_, 1), plain);
    ExpectSame(RowsOf(request_, 64), plain);
    ExpectSame(RowsOf(request_, 64, {.max_batch_tokens = 15}), plain);
  }
}

TEST_P(AblationTest, TheLastPositionAloneSaysTheSame) {
  request_.strategy = MaskStrategy::kCausalImportance;
  request_.swept = Assorted();
  const auto all = RowsOf(request_);
  request_.every_position = false;
  const auto last = RowsOf(request_);
  ASSERT_EQ(last.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(last[i].positions.size(), 1u);
    EXPECT_EQ(last[i].positions[0].position, 6);
    EXPECT_NEAR(last[i].positions[0].margin, all[i].positions[6].margin, 1e-4);
    EXPECT_NEAR(last[i].positions[0].kl, all[i].positions[6].kl, 1e-4);
  }
}

TEST_P(AblationTest, EditsAreReadByTheMaskedRunAlone) {
  request_.strategy = MaskStrategy::kCausalImportance;
  request_.edits = {{.position = 2, .token = 9}, {.position = 6, .token = 1}};
  request_.target = 4;
  const auto rows = RowsOf(request_);
  ExpectPlain(request_, rows[0], {});
  EXPECT_EQ(baseline_[0].target, 4);
}

TEST_P(AblationTest, StochasticMasksAreDrawnAnewAndAgain) {
  request_.strategy = MaskStrategy::kStochastic;
  request_.samples = 3;
  const auto first = RowsOf(request_);
  ExpectSame(RowsOf(request_), first, 0);
  EXPECT_NE(MeanKl(first[0]), MeanKl(first[1]));
  EXPECT_NE(MeanKl(first[1]), MeanKl(first[2]));
  request_.seed = 1;
  EXPECT_NE(MeanKl(RowsOf(request_)[0]), MeanKl(first[0]));
}

// Where every importance is 1 there is nothing to draw but Delta.
TEST_P(AblationTest, WhatMattersFullyIsNotDrawn) {
  subject_.importances = [this](std::span<const TokenId> tokens)
      -> absl::StatusOr<std::vector<at::Tensor>> {
    std::vector<at::Tensor> ones = ImportancesOf(tokens);
    for (at::Tensor& g : ones) g = at::ones(g.sizes());
    return ones;
  };
  request_.strategy = MaskStrategy::kUnmasked;
  const auto unmasked = RowsOf(request_);
  for (const MaskStrategy strategy :
       {MaskStrategy::kStochastic, MaskStrategy::kAdversarial}) {
    request_.strategy = strategy;
    request_.delta = 0;
    request_.adversary.steps = 2;
    ExpectSame(RowsOf(request_), unmasked, 1e-3);
  }
}

TEST_P(AblationTest, TheAdversaryHurtsMoreThanChance) {
  request_.strategy = MaskStrategy::kStochastic;
  request_.samples = 8;
  double chance = 0;
  for (const AblationRow& row : RowsOf(request_)) chance += MeanKl(row) / 8;
  request_.strategy = MaskStrategy::kAdversarial;
  request_.samples = 1;
  request_.adversary = {.steps = 15, .step_size = 0.1};
  const auto attacked = RowsOf(request_);
  ASSERT_EQ(attacked.size(), 1u);
  EXPECT_GT(MeanKl(attacked[0]), 1.3 * chance);
  ExpectSame(RowsOf(request_), attacked, 0);
  request_.adversary.restarts = 3;
  EXPECT_GE(MeanKl(RowsOf(request_)[0]), MeanKl(attacked[0]) - 1e-6);
  request_.adversary = {.steps = 15, .shared_positions = true};
  EXPECT_GT(MeanKl(RowsOf(request_)[0]), chance);
}

TEST_P(AblationTest, GreedyGenerationEqualsThePlainLoops) {
  request_.every_position = false;
  request_.generation.max_tokens = 4;
  for (const MaskStrategy strategy : kFixed) {
    request_.strategy = strategy;
    request_.threshold = 0.3;
    for (const bool by_position : {false, true}) {
      request_.interventions = Assorted();
      if (!by_position) {
        for (Intervention& change : request_.interventions) {
          change.position = kEveryPosition;
        }
      }
      const auto rows = RowsOf(request_);
      ASSERT_EQ(rows.size(), 4u);
      std::vector<TokenId> tokens = request_.tokens;
      for (const AblationRow& row : rows) {
        PlainDecoder plain = PlainOf(request_, tokens, request_.interventions);
        const Vector logits = plain.Logits(tokens).back();
        ASSERT_TRUE(row.generated.has_value());
        EXPECT_NEAR(logits[*row.generated],
                    *std::max_element(logits.begin(), logits.end()), 1e-3);
        EXPECT_NEAR(row.positions[0].top[0].logit,
                    *std::max_element(logits.begin(), logits.end()), 2e-3);
        tokens.push_back(*row.generated);
      }
    }
  }
}

TEST_P(AblationTest, SampledGenerationFollowsTheProbabilities) {
  request_.every_position = false;
  request_.generation = {.max_tokens = 1, .temperature = 0.7};
  request_.tokens.resize(3);
  Vector logits = PlainDecoder(*snapshot_).Logits(request_.tokens).back();
  for (double& logit : logits) logit /= 0.7;
  const Vector log_p = LogSoftmax({logits})[0];
  const TokenId best = Best(log_p);
  constexpr int kDraws = 300;
  int hits = 0;
  for (int seed = 0; seed < kDraws; ++seed) {
    request_.seed = static_cast<uint64_t>(seed);
    hits += RowsOf(request_)[0].generated == best;
  }
  const double p = std::exp(log_p[best]);
  EXPECT_NEAR(hits, kDraws * p, 5 * std::sqrt(kDraws * p * (1 - p)) + 1);
}

TEST_P(AblationTest, AnErrorOfTheImportancesIsTheAblations) {
  subject_.importances =
      [](std::span<const TokenId>) -> absl::StatusOr<std::vector<at::Tensor>> {
    return absl::InvalidArgumentError("too long");
  };
  request_.strategy = MaskStrategy::kRounded;
  const auto ablation = MakeTorchAblation(subject_, request_, {});
  EXPECT_EQ(ablation.status().code(), absl::StatusCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(All,
                         AblationTest,
                         testing::ValuesIn(SmallModels()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace spar::models
