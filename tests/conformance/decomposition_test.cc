// Sigmoids and their slopes by hand, and resident decompositions on the CPU.
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "models/decomposition/random_decomposition.h"
#include "models/snapshot/random_snapshot.h"
#include "models/torch/aten.h"
#include "models/torch/decomposition/ci_sigmoids.h"
#include "models/torch/decomposition/loaded_decomposition.h"
#include "models/torch/decomposition/sparse_importances.h"
#include "tests/models/decomposition_fixture.h"

namespace spar::models {
namespace {

using ::testing::DoubleNear;
using ::testing::Pointwise;

constexpr CiSigmoid kAll[] = {CiSigmoid::kLeakyHard, CiSigmoid::kHard,
                              CiSigmoid::kUpperLeakyHard, CiSigmoid::kSwishHard,
                              CiSigmoid::kNormal};

at::Tensor Of(const std::vector<double>& values) {
  return at::tensor(values, at::dtype(at::kDouble));
}

std::vector<double> Values(const at::Tensor& x) {
  const at::Tensor host = x.contiguous();
  const double* const values = host.const_data_ptr<double>();
  return std::vector<double>(values, values + host.numel());
}

auto Near(const std::vector<double>& want, double error) {
  return Pointwise(DoubleNear(error), want);
}

TEST(CiSigmoids, AreTheNumbersWorkedOutByHand) {
  const at::Tensor z = Of({-2, 0, 0.3, 1, 1.5});
  const CiSigmoid leaky = CiSigmoid::kLeakyHard;
  const MaskSampling plain = MaskSampling::kContinuous;
  EXPECT_THAT(Values(LowerSigmoid(leaky, plain, z)),
              Near({0, 0, 0.3, 1, 1}, 1e-12));
  EXPECT_THAT(Values(UpperSigmoid(leaky, z)),
              Near({0, 0, 0.3, 1, 1.005}, 1e-12));
  EXPECT_THAT(Values(LowerSigmoidSlope(leaky, plain, z, Of({1, 1, 1, 1, 1}))),
              Near({0, 0, 1, 1, 0}, 1e-12));
  EXPECT_THAT(
      Values(LowerSigmoidSlope(leaky, plain, z, Of({-1, -1, -1, -1, -1}))),
      Near({-0.01, -0.01, -1, -1, 0}, 1e-12));
  EXPECT_THAT(Values(UpperSigmoidSlope(leaky, z, Of({1, 1, 1, 1, 1}))),
              Near({0, 1, 1, 1, 0.01}, 1e-12));
  EXPECT_THAT(
      Values(UpperSigmoid(CiSigmoid::kSwishHard, Of({0, 0.25, 0.5, 1, 2}))),
      Near({4.5398e-05, 0.23145004, 0.5, 0.99995460, 1.00004539}, 1e-8));
  EXPECT_THAT(Values(UpperSigmoid(CiSigmoid::kHard, z)),
              Near({0, 0, 0.3, 1, 1}, 1e-12));
  EXPECT_THAT(Values(UpperSigmoid(CiSigmoid::kNormal, Of({0, 2}))),
              Near({0.5, 0.8807970779778823}, 1e-12));
  EXPECT_THAT(Values(LowerSigmoid(leaky, MaskSampling::kBinomial, Of({0.5}))),
              Near({0.5}, 1e-12));
  EXPECT_THAT(Values(LowerSigmoid(leaky, MaskSampling::kBinomial, Of({0.2}))),
              Near({0.185}, 1e-12));
}

// Away from the kinks every slope is the difference quotient; the leaky lower
// function's dead side is the one exception, tested above.
TEST(CiSigmoids, SlopesAreDifferenceQuotients) {
  const std::vector<double> points = {-0.7, -0.1, 0.04, 0.3,
                                      0.5,  0.96, 1.1,  1.8};
  const at::Tensor z = Of(points);
  const at::Tensor upstream = Of({1, 0.5, 2, -3, 1, -1, 0.7, -2});
  constexpr double kStep = 1e-5;
  for (const CiSigmoid kind : kAll) {
    const at::Tensor quotient =
        (UpperSigmoid(kind, z + kStep) - UpperSigmoid(kind, z - kStep)) /
        (2 * kStep) * upstream;
    EXPECT_THAT(Values(UpperSigmoidSlope(kind, z, upstream)),
                Near(Values(quotient), 1e-8));
    if (kind == CiSigmoid::kLeakyHard) continue;
    for (const MaskSampling sampling :
         {MaskSampling::kContinuous, MaskSampling::kBinomial}) {
      const at::Tensor lower = (LowerSigmoid(kind, sampling, z + kStep) -
                                LowerSigmoid(kind, sampling, z - kStep)) /
                               (2 * kStep) * upstream;
      EXPECT_THAT(Values(LowerSigmoidSlope(kind, sampling, z, upstream)),
                  Near(Values(lower), 1e-8));
    }
  }
}

class ResidentDecomposition : public ::testing::Test {
 protected:
  ResidentDecomposition() {
    DecoderSpec shape;
    shape.num_layers = 2;
    shape.width = 16;
    shape.num_heads = 4;
    shape.num_kv_heads = 2;
    shape.head_dim = 4;
    shape.mlp_width = 24;
    shape.vocab_size = 31;
    shape.context_length = 40;
    shape.norm = NormKind::kRmsNorm;
    shape.positions = PositionKind::kRotary;
    shape.rotary.dim = 4;
    shape.gated_mlp = true;
    shape.activation = Activation::kSilu;
    snapshot_ = MakeRandomSnapshot(shape, /*biases=*/true, 5);
    decoder_ = LoadDecoder(*snapshot_, at::kCPU, at::kFloat);
  }

  std::unique_ptr<LoadedDecomposition> Load(const CiSpec& ci) {
    const auto random = MakeRandomDecomposition(
        RandomDecompositionSpec(*snapshot_,
                                TinyComponents(TakesEmbeddings(ci.kind)), ci),
        {.seed = 11});
    auto loaded = LoadedDecomposition::Load("random", *random, *snapshot_,
                                            decoder_, at::kFloat);
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return loaded.ok() ? *std::move(loaded) : nullptr;
  }

  std::vector<PromptImportances> Run(
      const LoadedDecomposition& loaded,
      const std::vector<std::vector<TokenId>>& prompts,
      int64_t max_bytes) {
    auto answer = ComputeImportances(decoder_, loaded, prompts, {}, max_bytes);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? *std::move(answer) : std::vector<PromptImportances>{};
  }

  std::shared_ptr<const Snapshot> snapshot_;
  Decoder decoder_;
};

TEST_F(ResidentDecomposition, IsItsTargetWithEveryMaskAtOne) {
  for (const auto& [name, ci] : TinyCiSpecs()) {
    const auto loaded = Load(ci);
    ASSERT_NE(loaded, nullptr);
    EXPECT_LT(loaded->info().identity_error, 1e-5) << name;
    EXPECT_GT(loaded->info().identity_error, 0) << name;
  }
}

// What shares a batch changes nothing but the last bits, and prompts of equal
// length do not see each other.
TEST_F(ResidentDecomposition, AnswersOfABatchAreAnswersAlone) {
  const std::vector<std::vector<TokenId>> prompts = {
      {1, 2, 3, 4}, {30, 7, 9, 2}, {5}, {1, 2, 3, 4, 5, 6}, {4, 3, 2, 1}};
  for (const auto& [name, ci] : TinyCiSpecs()) {
    const auto loaded = Load(ci);
    ASSERT_NE(loaded, nullptr);
    const auto together = Run(*loaded, prompts, int64_t{1} << 30);
    const auto apart = Run(*loaded, prompts, 1);
    ASSERT_EQ(together.size(), apart.size());
    for (size_t p = 0; p < prompts.size(); ++p) {
      for (size_t m = 0; m < together[p].modules.size(); ++m) {
        const ModuleImportances& one = together[p].modules[m];
        const ModuleImportances& other = apart[p].modules[m];
        EXPECT_EQ(one.begin, other.begin) << name;
        EXPECT_EQ(one.component, other.component) << name;
        EXPECT_THAT(one.importance,
                    Pointwise(::testing::FloatNear(1e-5f), other.importance));
        EXPECT_THAT(one.activation,
                    Pointwise(::testing::FloatNear(1e-4f), other.activation));
      }
    }
  }
}

}  // namespace
}  // namespace spar::models
