// Every loss, its slopes and the steps against the definitions.
#include <cmath>
#include <ostream>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "base/status.h"
#include "models/torch/aten.h"
#include "models/torch/train/importance_price.h"
#include "models/torch/train/output_loss.h"
#include "tests/train/plain_recipe.h"
#include "tests/train/train_fixture.h"

namespace spar::models {
namespace {

struct RecipeCase {
  std::string name = {};
  TrainConfig config = SmallConfig();
  CiKind ci = CiKind::kSharedMlp;
  bool embedding = false;
};

void PrintTo(const RecipeCase& c, std::ostream* out) {
  *out << c.name;
}

LossConfig Pgd(RoutingKind routing,
               PgdConfig::Scope scope,
               PgdConfig::Init init) {
  LossConfig loss = Recon(LossKind::kPgdRecon, routing, 0.7);
  loss.pgd = {.init = init, .step_size = 0.2, .num_steps = 2, .scope = scope};
  return loss;
}

LossConfig Persistent(RoutingKind routing, PersistentPgdConfig persistent) {
  LossConfig loss = Recon(LossKind::kPersistentPgdRecon, routing, 0.5);
  loss.persistent = persistent;
  return loss;
}

std::vector<RecipeCase> RecipeCases() {
  using Scope = PersistentPgdConfig::Scope;
  std::vector<RecipeCase> cases;
  const auto add = [&](const std::string& name,
                       std::vector<LossConfig> losses) -> RecipeCase& {
    cases.push_back({.name = name});
    cases.back().config.losses = std::move(losses);
    return cases.back();
  };
  add("Faithfulness", {Faithfulness(3)});
  add("Minimality", {Minimality(0.1)});
  add("Unmasked", {Recon(LossKind::kUnmaskedRecon, RoutingKind::kAll, 1)});
  for (const auto& [kind, word] :
       {std::pair(LossKind::kCiMaskedRecon, "Importance"),
        std::pair(LossKind::kStochasticRecon, "Stochastic")}) {
    for (const auto& [routing, place] :
         {std::pair(RoutingKind::kAll, "All"),
          std::pair(RoutingKind::kUniformSubset, "Subset"),
          std::pair(RoutingKind::kStaticProbability, "Static"),
          std::pair(RoutingKind::kLayerwise, "Layerwise")}) {
      add(base::Cat(word, place), {Recon(kind, routing, 0.8)});
    }
  }
  LossConfig twice =
      Recon(LossKind::kStochasticRecon, RoutingKind::kUniformSubset, 1);
  twice.samples = 2;
  add("TwoSamplesWithoutDelta", {twice}).config.use_delta = false;
  RecipeCase& binomial = add(
      "BinomialSwishMse",
      {Recon(LossKind::kStochasticRecon, RoutingKind::kAll, 1), Minimality(1)});
  binomial.config.sampling = MaskSampling::kBinomial;
  binomial.config.sigmoid = CiSigmoid::kSwishHard;
  binomial.config.distance = OutputDistance::kMse;
  add("HiddenActs",
      {Recon(LossKind::kStochasticHiddenActs, RoutingKind::kAll, 2)});
  using PgdScope = PgdConfig::Scope;
  using Init = PgdConfig::Init;
  add("PgdShared",
      {Pgd(RoutingKind::kAll, PgdScope::kSharedAcrossBatch, Init::kRandom)});
  add("PgdSubset", {Pgd(RoutingKind::kUniformSubset,
                        PgdScope::kUniquePerDatapoint, Init::kZeroes)});
  add("PgdLayerwise",
      {Pgd(RoutingKind::kLayerwise, PgdScope::kSharedAcrossBatch, Init::kOnes)})
      .config.use_delta = false;
  const PersistentPgdConfig sign{.rate = {.rate = 0.1}};
  add("PersistentSingleSign", {Persistent(RoutingKind::kAll, sign)});
  PersistentPgdConfig adam = sign;
  adam.adam = true;
  adam.beta1 = 0.5;
  adam.beta2 = 0.99;
  adam.scope = Scope::kPerBatchPerPosition;
  adam.warmup_steps = 2;
  adam.rate = {.rate = 0.05, .shape = RateShape::kLinear};
  add("PersistentSubsetAdam", {Persistent(RoutingKind::kUniformSubset, adam)});
  adam.scope = Scope::kBroadcastAcrossBatch;
  adam.sigmoid = true;
  add("PersistentBroadcastSigmoid", {Persistent(RoutingKind::kAll, adam)});
  adam.scope = Scope::kRepeatAcrossBatch;
  adam.num_sources = 2;
  add("PersistentRepeat", {Persistent(RoutingKind::kAll, adam)})
      .config.use_delta = false;
  for (const auto& [kind, word] :
       {std::pair(CiKind::kMlp, "Mlp"), std::pair(CiKind::kVectorMlp, "Vector"),
        std::pair(CiKind::kSequenceMlp, "Sequence"),
        std::pair(CiKind::kGlobalSharedMlp, "GlobalMlp"),
        std::pair(CiKind::kGlobalSharedTransformer, "Transformer"),
        std::pair(CiKind::kGlobalReverseResidual, "ReverseResidual")}) {
    RecipeCase& all = add(
        base::Cat("WholeRecipe", word),
        {Faithfulness(10), Minimality(0.01),
         Recon(LossKind::kStochasticRecon, RoutingKind::kUniformSubset, 0.5),
         Persistent(RoutingKind::kUniformSubset, adam)});
    all.ci = kind;
    all.config.clip_components = 0.05;
    all.config.clip_ci = 0.1;
    all.config.rate = {.rate = 0.01,
                       .shape = RateShape::kCosine,
                       .final_share = 0.1,
                       .warmup = 0.2};
  }
  for (const auto& [kind, word] :
       {std::pair(CiKind::kMlp, "Mlp"),
        std::pair(CiKind::kGlobalSharedTransformer, "Transformer")}) {
    RecipeCase& embedded =
        add(base::Cat("Embedding", word),
            {Faithfulness(1), Minimality(0.01),
             Recon(LossKind::kStochasticRecon, RoutingKind::kUniformSubset, 1),
             Recon(LossKind::kCiMaskedRecon, RoutingKind::kLayerwise, 1)});
    embedded.ci = kind;
    embedded.embedding = true;
  }
  return cases;
}

double Largest(const at::Tensor& x) {
  return x.numel() == 0 ? 0 : x.abs().max().item<double>();
}

// Relative to the largest number of the truth.
void ExpectClose(const at::Tensor& got,
                 const at::Tensor& want,
                 double tolerance,
                 const std::string& what) {
  const double scale = want.defined() ? Largest(want) : 0;
  if (scale == 0) {
    EXPECT_TRUE(!got.defined() || Largest(got) == 0) << what;
    return;
  }
  ASSERT_TRUE(got.defined()) << what;
  EXPECT_LT(Largest(got - want) / scale, tolerance) << what;
}

class RecipeTest : public testing::TestWithParam<RecipeCase> {};

TEST_P(RecipeTest, HasTheLossesAndSlopesOfTheDefinitions) {
  const RecipeCase& c = GetParam();
  const TrainFixture fixture(c.embedding);
  const DecompositionSpec spec = fixture.Spec(SmallCi(c.ci));
  Trainer trainer = fixture.Make(c.config, spec);
  PlainRecipe plain(fixture.target(), c.config, spec, trainer);
  const at::Tensor data = fixture.data().Batch(0);
  const TrainProgress progress = trainer.Accumulate(data);
  const std::vector<double> want = plain.Accumulate(data, 0);
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_NEAR(progress.terms[i].value, want[i], 1e-4 * std::abs(want[i]));
    EXPECT_GT(want[i], 0);
  }
  for (size_t m = 0; m < plain.v().size(); ++m) {
    const std::string& name = spec.modules[m].name;
    ExpectClose(trainer.factors().v(m).grad(), plain.v()[m].grad(), 2e-4,
                name + " V");
    ExpectClose(trainer.factors().u(m).grad(), plain.u()[m].grad(), 2e-4,
                name + " U");
  }
  for (const auto& [name, leaf] : plain.ci()) {
    ExpectClose(trainer.ci().parameters().at(name).grad(), leaf.grad(), 1e-3,
                name);
  }
}

TEST_P(RecipeTest, TakesTheStepsOfTheDefinitions) {
  const RecipeCase& c = GetParam();
  const TrainFixture fixture(c.embedding);
  const DecompositionSpec spec = fixture.Spec(SmallCi(c.ci));
  Trainer trainer = fixture.Make(c.config, spec);
  PlainRecipe plain(fixture.target(), c.config, spec, trainer);
  for (int64_t step = 0; step < 4; ++step) {
    const absl::StatusOr<TrainProgress> progress = trainer.Next();
    ASSERT_TRUE(progress.ok()) << progress.status();
    const std::vector<double> want =
        plain.Accumulate(fixture.data().Batch(step), step);
    plain.Move(step);
    for (size_t i = 0; i < want.size(); ++i) {
      EXPECT_NEAR(progress->terms[i].value, want[i], 3e-3 * std::abs(want[i]))
          << "step " << step;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Losses,
                         RecipeTest,
                         testing::ValuesIn(RecipeCases()),
                         [](const auto& c) { return c.param.name; });

TEST(ImportancePrice, HasTheReferenceVectors) {
  const at::Tensor g = at::tensor({0.5f, 0.0f, 1.0f, 0.25f}).view({2, 2});
  const auto price = [&](double p, double beta) {
    return PriceOf(g, p, beta, 1e-12).loss.item<double>();
  };
  EXPECT_NEAR(price(2, 0.5), 1.02321817, 1e-6);
  EXPECT_NEAR(price(0.4, 0.5), 1.90330855, 1e-6);
  EXPECT_NEAR(price(1, 0), 0.875, 1e-6);
}

TEST(OutputLoss, HasTheReferenceVector) {
  const OutputLoss loss(OutputDistance::kKl,
                        at::tensor({1.0f, 0.0f, -1.0f}).view({1, 3}));
  EXPECT_NEAR(loss.Of(at::zeros({1, 3})).loss.item<double>(), 0.26621671, 1e-6);
}

TEST(Faithfulness, StaysExactWhereTheFactorsAreNearTheWeight) {
  // W of order one and Delta of order 1e-5: a difference of norms would have
  // nothing left of it.
  const TrainFixture fixture;
  const DecompositionSpec spec = fixture.Spec(SmallCi(CiKind::kSharedMlp));
  TrainConfig config = SmallConfig();
  config.losses = {Faithfulness(1)};
  Trainer trainer = fixture.Make(config, spec);
  const c10::NoGradGuard no_grad;
  at::Tensor v = trainer.factors().v(0), u = trainer.factors().u(0);
  at::Tensor w = trainer.factors().weight(0);  // the fixture's own
  w.copy_(at::mm(u.t(), v) + 1e-5 * at::ones(w.sizes()));
  double rest = 0, entries = 0;
  for (size_t m = 0; m < spec.modules.size(); ++m) {
    const at::Tensor delta = trainer.factors().weight(m).to(at::kDouble) -
                             at::mm(trainer.factors().u(m).to(at::kDouble).t(),
                                    trainer.factors().v(m).to(at::kDouble));
    if (m == 0) {
      EXPECT_NEAR(delta.pow(2).mean().item<double>() / 1e-10, 1, 0.05);
    } else {
      rest += delta.pow(2).sum().item<double>();
    }
    entries += static_cast<double>(delta.numel());
  }
  const double want = (rest + 1e-10 * static_cast<double>(w.numel())) / entries;
  EXPECT_NEAR(trainer.factors().Faithfulness() / want, 1, 1e-6);
}

}  // namespace
}  // namespace spar::models
