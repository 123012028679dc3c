#include "models/studies/toy_study.h"

#include <utility>

#include "base/status.h"
#include "models/studies/resid_mlp.h"
#include "models/studies/study_recipe.h"
#include "models/studies/tms.h"
#include "models/torch/aten.h"
#include "models/torch/train/trainer.h"

namespace spar::studies {
namespace {

using models::LossConfig;
using models::LossKind;
using models::RoutingKind;

constexpr double kProbeValue = 0.75;
constexpr double kTolerance = 0.1;
constexpr double kLooseTolerance = 0.2;
constexpr double kAliveThreshold = 0.1;
constexpr int kWarmupSteps = 200;
constexpr double kWarmupRate = 0.01;
constexpr double kWarmupDecay = 0.1;

ToyStudy TmsStudy(std::string name, const TmsOptions& toy) {
  ToyStudy study;
  study.name = std::move(name);
  study.make = [toy](uint64_t seed) {
    TmsOptions seeded = toy;
    seeded.seed = seed;
    return std::make_unique<Tms>(Tms::Train(seeded));
  };
  study.data = {.num_features = toy.num_features,
                .probability = toy.probability,
                .batch_size = 4096};
  study.steps = 10'000;
  study.rate = {.rate = 1e-3, .shape = models::RateShape::kCosine};
  study.patterns = {{}, {}};
  return study;
}

std::vector<ToyStudy> MakeStudies() {
  std::vector<ToyStudy> studies;
  ToyStudy& small = studies.emplace_back(TmsStudy("tms_5-2", {}));
  small.num_components = 20;
  small.price = 3e-3;
  small.power = 1;

  TmsOptions wide_toy;
  wide_toy.num_features = 40;
  wide_toy.hidden = 10;
  wide_toy.batch_size = 8192;
  ToyStudy& wide = studies.emplace_back(TmsStudy("tms_40-10", wide_toy));
  wide.num_components = 200;
  wide.price = 1e-4;
  wide.power = 2;

  ToyStudy& mlp = studies.emplace_back();
  mlp.name = "resid_mlp1";
  const ResidMlpOptions mlp_toy;
  mlp.make = [mlp_toy](uint64_t seed) {
    ResidMlpOptions seeded = mlp_toy;
    seeded.seed = seed;
    return std::make_unique<ResidMlp>(ResidMlp::Train(seeded));
  };
  mlp.data = {.num_features = mlp_toy.num_features,
              .probability = mlp_toy.probability,
              .low = -1,
              .batch_size = 2048};
  mlp.num_components = 100;
  mlp.price = 1e-5;
  mlp.power = 2;
  mlp.steps = 20'000;
  mlp.rate = {.rate = 2e-3};
  mlp.patterns = {{}, {.identity = false, .num_dense = mlp_toy.neurons}};
  return studies;
}

models::TrainConfig ConfigOf(const ToyStudy& study, uint64_t seed) {
  models::TrainConfig config;
  config.distance = models::OutputDistance::kMse;
  config.data.sequence_length = 1;
  config.batch_size = study.data.batch_size;
  config.seed = seed;
  config.steps = study.steps;
  config.rate = study.rate;
  config.warmup_steps = kWarmupSteps;
  config.warmup_rate = kWarmupRate;
  config.warmup_weight_decay = kWarmupDecay;
  config.alive_threshold = kAliveThreshold;
  LossConfig price = Loss("ImportanceMinimalityLoss",
                          LossKind::kImportanceMinimality, study.price);
  price.power.from = study.power;
  LossConfig layerwise =
      Loss("StochasticReconLayerwiseLoss", LossKind::kStochasticRecon, 1);
  layerwise.routing.kind = RoutingKind::kLayerwise;
  config.losses = {Loss("FaithfulnessLoss", LossKind::kFaithfulness, 1),
                   std::move(price),
                   Loss("StochasticReconLoss", LossKind::kStochasticRecon, 1),
                   std::move(layerwise)};
  return config;
}

models::DecompositionSpec SpecOf(const ToyStudy& study,
                                 const ToyTarget& target) {
  models::DecompositionSpec spec;
  spec.ci.kind = models::CiKind::kMlp;
  spec.ci.hidden = {study.ci_hidden};
  spec.modules = ModulesWith(study.num_components, target);
  return spec;
}

ModuleFinding Judge(const std::string& name,
                    const KnownPattern& pattern,
                    const at::Tensor& importances) {
  ModuleFinding finding;
  finding.name = name;
  finding.pattern = pattern;
  finding.importances = TableOf(importances);
  const auto error = [&](double tolerance) {
    return pattern.identity
               ? IdentityError(finding.importances, tolerance)
               : DenseError(finding.importances, pattern.num_dense, tolerance);
  };
  finding.error = error(kTolerance);
  finding.loose_error = error(kLooseTolerance);
  return finding;
}

}  // namespace

const std::vector<ToyStudy>& ToyStudies() {
  static const auto& studies = *new std::vector<ToyStudy>(MakeStudies());
  return studies;
}

absl::StatusOr<ToyFinding> Decompose(const ToyStudy& study,
                                     uint64_t seed,
                                     const OnToyStep& on_step) {
  SparseFeatureOptions data_options = study.data;
  data_options.seed = seed + kDataSeed;
  const SparseFeatures data(data_options);
  const std::unique_ptr<ToyTarget> target = study.make(seed);
  models::Trainer trainer(*target, data, ConfigOf(study, seed),
                          SpecOf(study, *target));
  ToyFinding finding;
  while (!trainer.done()) {
    ASSIGN_OR_RETURN(finding.last, trainer.Next());
    if (on_step) on_step(finding.last);
  }
  const at::Tensor alone =
      kProbeValue * at::ones({study.data.num_features}).diag();
  const std::vector<at::Tensor> importances = trainer.Importances(alone);
  for (size_t m = 0; m < importances.size(); ++m) {
    finding.modules.push_back(
        Judge(target->modules()[m].name, study.patterns[m], importances[m]));
  }
  return finding;
}

}  // namespace spar::studies
