#include "models/torch/train/pgd.h"

#include "models/torch/aten.h"

namespace spar::models {
namespace {

at::Tensor BeginSources(PgdConfig::Init init,
                        const std::vector<int64_t>& sizes,
                        const DrawKey& key,
                        at::Device device) {
  const auto options = at::dtype(at::kFloat).device(device);
  switch (init) {
    case PgdConfig::Init::kOnes:
      return at::ones(sizes, options);
    case PgdConfig::Init::kZeroes:
      return at::zeros(sizes, options);
    case PgdConfig::Init::kRandom:
      break;
  }
  return key.Uniform(sizes, device);
}

}  // namespace

std::vector<ModuleSources> AttackByPgd(StepBatch& batch,
                                       const std::vector<at::Tensor>& g,
                                       const std::vector<at::Tensor>& routing,
                                       int only,
                                       const PgdConfig& config,
                                       bool use_delta,
                                       const DrawKey& key) {
  const int64_t rows =
      config.scope == PgdConfig::Scope::kSharedAcrossBatch ? 1 : batch.rows();
  std::vector<ModuleSources> sources(g.size());
  std::vector<at::Tensor> leaves;
  for (size_t m = 0; m < g.size(); ++m) {
    if (only >= 0 && static_cast<size_t>(only) != m) continue;
    const auto leaf = [&](uint64_t use, int64_t width) {
      leaves.push_back(BeginSources(config.init, {rows, width},
                                    key.Of(m).Of(use), batch.device())
                           .requires_grad_(true));
      return leaves.back();
    };
    sources[m].masks = leaf(0, g[m].size(1));
    if (use_delta) sources[m].deltas = leaf(1, 1);
  }
  for (int i = 0; i < config.num_steps; ++i) {
    batch.Attack([&] { return AdversarialMasks(g, routing, only, sources); },
                 leaves);
    const c10::NoGradGuard no_grad;
    for (at::Tensor& leaf : leaves) {
      leaf.add_(leaf.grad().sign(), config.step_size).clamp_(0, 1);
      leaf.mutable_grad() = at::Tensor();
    }
  }
  for (ModuleSources& of_module : sources) {
    if (of_module.masks.defined()) of_module.masks = of_module.masks.detach();
    if (of_module.deltas.defined()) {
      of_module.deltas = of_module.deltas.detach();
    }
  }
  return sources;
}

}  // namespace spar::models
