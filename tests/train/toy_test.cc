// A toy that is no decoder, with tied weights, as a target.
#include <memory>
#include <vector>

#include "gtest/gtest.h"

#include "models/decomposition/decomposable_modules.h"
#include "models/torch/aten.h"
#include "models/torch/train/draws.h"
#include "tests/train/plain_recipe.h"
#include "tests/train/train_fixture.h"

namespace spar::models {
namespace {

constexpr int kFeatures = 5;
constexpr int kToyHidden = 2;
constexpr int kToyRows = 32;

// relu(W^T W x + b): the superposition of features in fewer dimensions.
class ToyTarget final : public TrainTarget {
 public:
  ToyTarget() {
    weight_ = DrawKey(4).Normal({kToyHidden, kFeatures}, at::kCPU);
    bias_ = DrawKey(5).Normal({kFeatures}, at::kCPU);
    const auto add = [&](const char* name, int layer, int d_in, int d_out) {
      modules_.push_back({.name = name,
                          .site = ModuleSite::kUp,
                          .layer = layer,
                          .d_in = d_in,
                          .d_out = d_out,
                          .num_components = 7});
    };
    add("linear1", 0, kFeatures, kToyHidden);
    add("linear2", 1, kToyHidden, kFeatures);
    NumberComponents(modules_);
  }

  const std::vector<DecomposedModule>& modules() const override {
    return modules_;
  }
  at::Tensor Weight(int module) const override {
    return module == 0 ? weight_ : weight_.t();
  }
  std::vector<std::pair<int, int>> tied() const override { return {{0, 1}}; }
  at::Device device() const override { return at::kCPU; }
  std::unique_ptr<TargetBatch> Start(const at::Tensor& data) const override {
    return std::make_unique<Batch>(*this, data);
  }

 private:
  class Batch final : public TargetBatch {
   public:
    Batch(const ToyTarget& toy, const at::Tensor& data)
        : toy_(toy),
          data_(data),
          runs_({{.count = static_cast<int>(data.size(0)), .length = 1}}) {}
    const std::vector<Run>& runs() const override { return runs_; }
    at::Tensor Forward(const ReplacedModules& modules) override {
      const auto map = [&](int m, const at::Tensor& x, const at::Tensor& bias) {
        if (modules.which[m]) return modules.apply(m, x, bias);
        const at::Tensor y = at::linear(x, toy_.Weight(m));
        return bias.defined() ? y + bias : y;
      };
      return at::relu(map(1, map(0, data_, {}), toy_.bias_));
    }

   private:
    const ToyTarget& toy_;
    const at::Tensor data_;
    const std::vector<Run> runs_;
  };

  at::Tensor weight_, bias_;
  std::vector<DecomposedModule> modules_ = {};
};

class ToyData final : public TrainData {
 public:
  at::Tensor Batch(int64_t step) const override {
    return DrawKey(6).Of(step).Uniform({kToyRows, kFeatures}, at::kCPU);
  }
};

TEST(ToyTarget, TrainsWithTiedFactors) {
  const ToyTarget target;
  const ToyData data;
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
