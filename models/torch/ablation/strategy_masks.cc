#include "models/torch/ablation/strategy_masks.h"

#include <utility>

#include "models/torch/aten.h"
#include "models/torch/uniform_numbers.h"

namespace spar::models {
namespace {

// Streams of random numbers: each module has one for its subcomponents and one
// for its Delta.
constexpr uint64_t kStreamsPerSample = uint64_t{1} << 32;

// The subcomponents that are on anywhere, and their masks.
ComponentMasks AliveOf(const at::Tensor& masks) {
  const at::Tensor ids = masks.ne(0).any(0).nonzero().flatten();
  return {
      .rest = 0, .ids = ids, .values = masks.index_select(1, ids), .delta = 0};
}

ComponentMasks Draw(const at::Tensor& importances,
                    uint64_t seed,
                    uint64_t stream,
                    MaskSampling sampling) {
  at::Tensor drawn =
      UniformNumbers(seed, stream, {importances.size(0), importances.size(1)});
  if (sampling == MaskSampling::kBinomial) drawn = drawn.ge(0.5);
  drawn = drawn.to(importances.options());
  const at::Tensor deltas =
      UniformNumbers(seed, stream + 1, {importances.size(0)});
  return {.values = importances + (1 - importances) * drawn,
          .deltas = deltas.to(importances.options())};
}

}  // namespace

std::vector<ComponentMasks> StrategyMasks(
    const AblationRequest& request,
    const DecomposedDecoder& decomposed,
    MaskSampling sampling,
    const std::vector<at::Tensor>& importances,
    uint64_t sample) {
  std::vector<ComponentMasks> masks(decomposed.modules().size());
  for (size_t m = 0; m < masks.size(); ++m) {
    ComponentMasks& module = masks[m];
    switch (request.strategy) {
      case MaskStrategy::kTarget:
        break;
      case MaskStrategy::kUnmasked:
        module.delta = 0;
        break;
      case MaskStrategy::kNone:
        module.rest = 0;
        module.delta = 0;
        break;
      case MaskStrategy::kCausalImportance:
        module = AliveOf(importances[m]);
        break;
      case MaskStrategy::kRounded:
        module = AliveOf(importances[m]
                             .gt(request.threshold)
                             .to(importances[m].scalar_type()));
        break;
      case MaskStrategy::kStochastic:
      case MaskStrategy::kAdversarial:
        module = Draw(importances[m], request.seed,
                      sample * kStreamsPerSample + 2 * m, sampling);
        break;
    }
    if (request.delta.has_value()) {
      module.delta = *request.delta;
      module.deltas = at::Tensor();
    }
  }
  return masks;
}

}  // namespace spar::models
