// A toy that is no decoder, with tied weights, as a target.
#include <vector>

#include "gtest/gtest.h"

#include "models/decomposition/decomposable_modules.h"
#include "models/studies/sparse_features.h"
#include "models/studies/tms.h"
#include "models/torch/aten.h"
#include "models/torch/train/draws.h"
#include "tests/train/plain_recipe.h"
#include "tests/train/train_fixture.h"

namespace spar::models {
namespace {

constexpr int kFeatures = 5;
constexpr int kToyHidden = 2;
constexpr int kToyRows = 32;

TEST(ToyTarget, TrainsWithTiedFactors) {
  const studies::Tms target(
      DrawKey(4).Normal({kToyHidden, kFeatures}, at::kCPU),
      DrawKey(5).Normal({kFeatures}, at::kCPU));
  // All features are always on.
  const studies::SparseFeatures data({.num_features = kFeatures,
                                      .probability = 1,
                                      .batch_size = kToyRows,
                                      .seed = 6});
  TrainConfig config = SmallConfig();
  config.batch_size = kToyRows;
  config.data.sequence_length = 1;
  config.distance = OutputDistance::kMse;
  config.steps = 60;
  config.warmup_steps = 30;
  config.warmup_rate = 0.05;
  config.losses = {
      Faithfulness(1), Minimality(1e-3),
      Recon(LossKind::kStochasticRecon, RoutingKind::kAll, 1),
      Recon(LossKind::kStochasticRecon, RoutingKind::kLayerwise, 1)};
  DecompositionSpec spec;
  spec.modules = target.modules();
  for (DecomposedModule& module : spec.modules) module.num_components = 7;
  NumberComponents(spec.modules);
  spec.ci = SmallCi(CiKind::kMlp);
  Trainer trainer(target, data, config, spec);
  EXPECT_EQ(trainer.factors().parameters().size(), 2u);
  EXPECT_TRUE(trainer.factors().v(1).is_same(trainer.factors().u(0)));

  // A shared leaf has the slopes of both its places.
  PlainRecipe plain(target, config, spec, trainer);
  trainer.Accumulate(data.Batch(0));
  plain.Accumulate(data.Batch(0), 0);
  const at::Tensor want = plain.u()[0].grad() + plain.v()[1].grad();
  EXPECT_LT((trainer.factors().u(0).grad() - want).abs().max().item<double>(),
            1e-4 * want.abs().max().item<double>());
  for (const at::Tensor& leaf : trainer.factors().leaves()) {
    leaf.mutable_grad() = at::Tensor();
  }
  for (const at::Tensor& leaf : trainer.ci().leaves()) {
    leaf.mutable_grad() = at::Tensor();
  }

  const double before = trainer.factors().Faithfulness();
  double first = 0, last = 0;
  while (!trainer.done()) {
    const absl::StatusOr<TrainProgress> progress = trainer.Next();
    ASSERT_TRUE(progress.ok()) << progress.status();
    if (progress->warming_up) {
      EXPECT_EQ(progress->steps, 30);
    } else {
      (progress->step == 1 ? first : last) = progress->total;
    }
  }
  EXPECT_LT(trainer.factors().Faithfulness(), before / 100);
  EXPECT_LT(last, first);
  EXPECT_EQ(trainer.Importances(data.Batch(3))[1].sizes().vec(),
            (std::vector<int64_t>{kToyRows, 7}));
}

}  // namespace
}  // namespace spar::models
