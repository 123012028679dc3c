#include "models/studies/induction_study.h"

#include <utility>

#include "models/studies/study_recipe.h"
#include "models/torch/aten.h"
#include "models/torch/train/output_loss.h"
#include "models/torch/train/trainer.h"

namespace spar::studies {
namespace {

using models::LossConfig;
using models::LossKind;

constexpr uint64_t kJudgeSeed = 2'000;
constexpr int kJudged = 512;  // sequences
constexpr int kAttentionWidth = 8;
constexpr double kRounding = 0.5;

models::TrainConfig ConfigOf(const InductionStudy& study) {
  models::TrainConfig config;
  config.data.sequence_length = study.target.data.length;
  config.batch_size = study.batch_size;
  config.seed = study.seed;
  config.steps = study.steps;
  config.rate = {.rate = study.rate,
                 .shape = models::RateShape::kCosine,
                 .final_share = 0.1};
  config.warmup_steps = study.warmup_steps;
  config.warmup_rate = study.warmup_rate;
  config.alive_threshold = kUsed;
  LossConfig price = Loss("ImportanceMinimalityLoss",
                          LossKind::kImportanceMinimality, study.price);
  price.power = {.from = study.first_power, .to = study.last_power, .end = 0.5};
  LossConfig partial =
      Loss("StochasticReconSubsetLoss", LossKind::kStochasticRecon, 1);
  partial.routing.kind = models::RoutingKind::kUniformSubset;
  config.losses = {
      Loss("FaithfulnessLoss", LossKind::kFaithfulness, study.faithfulness),
      std::move(price),
      Loss("StochasticReconLoss", LossKind::kStochasticRecon, 1),
      std::move(partial)};
  return config;
}

models::DecompositionSpec SpecOf(const InductionStudy& study,
                                 const InductionHead& target) {
  models::DecompositionSpec spec;
  spec.ci.kind = models::CiKind::kSequenceMlp;
  spec.ci.hidden = {study.ci_hidden};
  spec.ci.relative_attention =
      models::CiRelativeAttention{.key_width = kAttentionWidth,
                                  .value_width = kAttentionWidth,
                                  .max_distance = study.target.data.length};
  spec.modules = ModulesWith(study.num_components, target);
  return spec;
}

// The target with sum_c m_c U_c V_c^T in the place of every module.
at::Tensor Masked(const InductionHead& target,
                  const models::TrainedFactors& factors,
                  const at::Tensor& data,
                  const std::vector<at::Tensor>& masks) {
  return target.Run(
      data, [&](int module, const at::Tensor& x, const at::Tensor&) {
        return at::mm(at::linear(x, factors.v(module)) * masks[module],
                      factors.u(module));
      });
}

// Mean importance of each subcomponent at a role, [C].
at::Tensor MeanAt(Role role, const at::Tensor& g, const at::Tensor& first) {
  const int64_t length = g.size(1);
  const auto at_position = [&](const at::Tensor& position) {
    return g.gather(1, position.view({-1, 1, 1}).expand({-1, 1, g.size(2)}))
        .squeeze(1)
        .mean(0);
  };
  switch (role) {
    case Role::kFirstMarker:
      return at_position(first);
    case Role::kAnswer:
      return at_position(first + 1);
    case Role::kLastMarker:
      return g.select(1, length - 1).mean(0);
    case Role::kOther:
      break;
  }
  const at::Tensor rest = g.sum({0, 1}) / static_cast<double>(g.size(0)) -
                          MeanAt(Role::kFirstMarker, g, first) -
                          MeanAt(Role::kAnswer, g, first) -
                          MeanAt(Role::kLastMarker, g, first);
  return rest / static_cast<double>(length - 3);
}

void Judge(const InductionStudy& study,
           const InductionHead& target,
           const models::Trainer& trainer,
           InductionFinding& finding) {
  const c10::NoGradGuard no_grad;
  RepeatedMarkerOptions options = study.target.data;
  options.batch_size = kJudged;
  options.seed = study.seed + kJudgeSeed;
  const RepeatedMarker data(options);
  const at::Tensor ids = data.Batch(0);
  const at::Tensor answers = data.Answers(ids);
  const at::Tensor first = data.FirstMarkers(ids);
  finding.accuracy = target.Accuracy(ids, answers);
  finding.faithfulness = trainer.factors().Faithfulness();
  const std::vector<at::Tensor> g = trainer.Importances(ids);
  std::vector<at::Tensor> rounded;
  double entries = 0;
  for (size_t m = 0; m < g.size(); ++m) {
    const at::Tensor& weight = trainer.factors().weight(m);
    finding.weight_square += weight.square().sum().item<double>();
    entries += static_cast<double>(weight.numel());
    rounded.push_back(g[m].gt(kRounding).to(at::kFloat));
    finding.modules.push_back(
        FindRoles(target.modules()[m].name, g[m], first, options.length));
    finding.modules.back().example = TableOf(g[m].narrow(0, 0, options.length));
  }
  finding.weight_square /= entries;
  const models::OutputLoss distance(models::OutputDistance::kKl,
                                    target.Output(ids));
  const at::Tensor masked = Masked(target, trainer.factors(), ids, g);
  finding.ci_masked = distance.Of(masked).loss.item<double>();
  finding.ci_masked_accuracy =
      masked.argmax(-1).eq(answers).to(at::kFloat).mean().item<double>();
  finding.rounded = distance.Of(Masked(target, trainer.factors(), ids, rounded))
                        .loss.item<double>();
  const int64_t* id = ids.const_data_ptr<int64_t>();
  finding.example.assign(id, id + options.length);
}

}  // namespace

InductionModule FindRoles(std::string name,
                          const at::Tensor& g,
                          const at::Tensor& first_markers,
                          int64_t length) {
  InductionModule module;
  module.name = std::move(name);
  const at::Tensor by_position = g.view({-1, length, g.size(1)});
  at::Tensor most;
  for (size_t r = 0; r < kRoles.size(); ++r) {
    const at::Tensor mean = MeanAt(kRoles[r], by_position, first_markers);
    module.at_role[r] = mean.sum().item<double>();
    most = most.defined() ? at::maximum(most, mean) : mean;
  }
  for (int64_t c = 0; c < most.size(0); ++c) {
    if (most[c].item<double>() > kUsed) {
      module.used.push_back(static_cast<int>(c));
    }
  }
  return module;
}

absl::StatusOr<InductionFinding> DecomposeInductionHead(
    const InductionStudy& study, const OnInductionStep& on_step) {
  InductionHeadOptions target_options = study.target;
  target_options.seed = study.seed;
  const std::unique_ptr<InductionHead> target =
      InductionHead::Train(target_options);
  RepeatedMarkerOptions data_options = study.target.data;
  data_options.batch_size = study.batch_size;
  data_options.seed = study.seed + kDataSeed;
  const RepeatedMarker data(data_options);
  models::Trainer trainer(*target, data, ConfigOf(study),
                          SpecOf(study, *target));
  while (!trainer.done()) {
    ASSIGN_OR_RETURN(const models::TrainProgress progress, trainer.Next());
    if (on_step) on_step(progress);
  }
  InductionFinding finding;
  Judge(study, *target, trainer, finding);
  return finding;
}

}  // namespace spar::studies
