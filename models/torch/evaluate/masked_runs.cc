#include "models/torch/evaluate/masked_runs.h"

#include <utility>

#include "base/splitmix64.h"
#include "models/ablation.h"
#include "models/torch/ablation/strategy_masks.h"
#include "models/torch/aten.h"
#include "models/torch/uniform_numbers.h"

namespace spar::models {
namespace {

// Draws of kRandom are of another seed than those of kStochastic.
constexpr uint64_t kRandomSeed = 0x52414e444f4d;
constexpr uint64_t kStreamsPerDraw = uint64_t{1} << 32;

MaskStrategy StrategyOf(EvaluationMasks masks) {
  switch (masks) {
    case EvaluationMasks::kUnmasked:
      return MaskStrategy::kUnmasked;
    case EvaluationMasks::kCausalImportance:
      return MaskStrategy::kCausalImportance;
    case EvaluationMasks::kRounded:
      return MaskStrategy::kRounded;
    case EvaluationMasks::kStochastic:
      return MaskStrategy::kStochastic;
    case EvaluationMasks::kZero:
      return MaskStrategy::kNone;
    case EvaluationMasks::kTarget:
    case EvaluationMasks::kRandom:
      break;
  }
  return MaskStrategy::kTarget;
}

std::vector<ComponentMasks> RandomMasks(
    uint64_t seed, const std::vector<at::Tensor>& importances, uint64_t draw) {
  std::vector<ComponentMasks> masks;
  for (size_t m = 0; m < importances.size(); ++m) {
    const at::Tensor& g = importances[m];
    masks.push_back(
        {.values =
             UniformNumbers(base::SplitMix64(seed ^ kRandomSeed),
                            draw * kStreamsPerDraw + m, {g.size(0), g.size(1)})
                 .to(g.options()),
         .delta = 0});
  }
  return masks;
}

}  // namespace

std::vector<MaskedRun> PlanRuns(const EvaluationRequest& request) {
  std::vector<MaskedRun> runs;
  for (const EvaluationMasks masks :
       {EvaluationMasks::kUnmasked, EvaluationMasks::kCausalImportance,
        EvaluationMasks::kRounded, EvaluationMasks::kZero}) {
    runs.push_back({.masks = masks});
  }
  for (int sample = 0; sample < request.samples; ++sample) {
    runs.push_back({.masks = EvaluationMasks::kStochastic, .sample = sample});
    runs.push_back({.masks = EvaluationMasks::kRandom, .sample = sample});
  }
  for (size_t i = 0; i < request.sweep.size(); ++i) {
    runs.push_back(
        {.masks = EvaluationMasks::kRounded, .point = static_cast<int>(i)});
  }
  return runs;
}

std::vector<ComponentMasks> MasksOfRun(
    const EvaluationSubject& subject,
    const EvaluationRequest& request,
    const MaskedRun& run,
    const std::vector<bool>& masked,
    const std::vector<at::Tensor>& importances,
    int64_t batch) {
  const uint64_t draw =
      static_cast<uint64_t>(batch * request.samples + run.sample);
  std::vector<ComponentMasks> masks;
  if (run.masks == EvaluationMasks::kRandom) {
    masks = RandomMasks(request.seed, importances, draw);
  } else {
    const DecompositionSpec& spec = subject.info->spec;
    AblationRequest strategy;
    strategy.strategy = StrategyOf(run.masks);
    strategy.threshold =
        run.point < 0 ? request.rounding_threshold : request.sweep[run.point];
    strategy.seed = request.seed;
    if (run.masks == EvaluationMasks::kStochastic && !spec.has_delta) {
      strategy.delta = 0;
    }
    masks = StrategyMasks(strategy, *subject.decomposed, spec.sampling,
                          importances, draw);
  }
  for (size_t m = 0; m < masks.size(); ++m) {
    if (!masked[m]) masks[m] = ComponentMasks{};
  }
  return masks;
}

}  // namespace spar::models
