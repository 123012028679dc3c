#include <gtest/gtest.h>

#include "models/studies/resid_mlp.h"
#include "models/studies/tms.h"
#include "models/studies/toy_study.h"
#include "models/torch/aten.h"

namespace spar::studies {
namespace {

TEST(ToyTest, FeaturesAreSparseAndTheSameForTheSameStep) {
  const SparseFeatures data({.num_features = 50,
                             .probability = 0.1,
                             .low = -1,
                             .batch_size = 400,
                             .seed = 3});
  const at::Tensor batch = data.Batch(5);
  EXPECT_TRUE(batch.equal(data.Batch(5)));
  EXPECT_FALSE(batch.equal(data.Batch(6)));
  const at::Tensor active = batch.ne(0);
  // 20,000 draws: the share is within five standard deviations.
  EXPECT_NEAR(active.to(at::kFloat).mean().item<double>(), 0.1, 0.011);
  EXPECT_NEAR(batch.sum().item<double>() / active.sum().item<double>(), 0,
              0.07);
  EXPECT_LT(batch.max().item<double>(), 1);
  EXPECT_GE(batch.min().item<double>(), -1);
}

TEST(ToyTest, TmsTellsFiveFeaturesInTwoDirections) {
  TmsOptions options;
  options.training.steps = 1500;
  const Tms tms = Tms::Train(options);
  const at::Tensor alone = at::ones({5}).diag();
  const at::Tensor out = tms.Output(alone);
  EXPECT_GT(out.diagonal().min().item<double>(), 0.5);
  EXPECT_LT((out - out.diagonal().diag()).max().item<double>(), 0.35);
}

TEST(ToyTest, ResidMlpComputesMoreThanItHasNeurons) {
  ResidMlpOptions options;
  options.num_features = 20;
  options.width = 60;
  options.neurons = 10;
  options.batch_size = 256;
  options.probability = 0.05;
  options.training.steps = 400;
  const ResidMlp mlp = ResidMlp::Train(options);
  const at::Tensor alone = at::ones({20}).diag();
  const at::Tensor want = alone + alone.relu();
  const double error =
      (mlp.Output(alone) - want).square().mean().item<double>();
  // Doing nothing at all gives 1 / 20.
  EXPECT_LT(error, 0.03);
}

// A short training: the factors give the weights back, random masks cost less
// than half of what giving back nothing costs (a feature's mean square, 1 /
// 60), and the judgement is of the table shown.
TEST(ToyTest, DecomposesATms) {
  ToyStudy study = ToyStudies().front();
  ASSERT_EQ(study.name, "tms_5-2");
  study.steps = 400;
  study.data.batch_size = 512;
  int steps = 0;
  const auto finding =
      Decompose(study, 0, [&](const models::TrainProgress&) { ++steps; });
  ASSERT_TRUE(finding.ok()) << finding.status();
  EXPECT_EQ(steps, 600);  // 200 of them on faithfulness alone
  ASSERT_EQ(finding->last.terms.size(), 4u);
  EXPECT_LT(finding->last.terms[0].value, 5e-5);
  EXPECT_LT(finding->last.terms[2].value, 1.0 / 120);
  ASSERT_EQ(finding->modules.size(), 2u);
  for (const ModuleFinding& module : finding->modules) {
    ASSERT_EQ(module.importances.size(), 5u);
    EXPECT_EQ(module.importances[0].size(), 20u);
    EXPECT_EQ(module.error, IdentityError(module.importances, 0.1));
    EXPECT_EQ(module.loose_error, IdentityError(module.importances, 0.2));
    EXPECT_LE(module.loose_error, module.error);
  }
}

}  // namespace
}  // namespace spar::studies
