#include "models/torch/evaluate/importance_sums.h"

#include "models/torch/aten.h"

namespace spar::models {
namespace {

std::vector<float> Means(const at::Tensor& sums, int64_t count) {
  const at::Tensor means =
      (sums / static_cast<double>(count)).to(at::kCPU, at::kFloat).contiguous();
  const float* const begin = means.const_data_ptr<float>();
  return std::vector<float>(begin, begin + means.numel());
}

}  // namespace

void ImportanceSums::Add(const std::vector<at::Tensor>& importances,
                         double alive_threshold) {
  modules_.resize(importances.size());
  for (size_t m = 0; m < importances.size(); ++m) {
    const at::Tensor& g = importances[m];
    const at::Tensor importance = g.sum(0, /*keepdim=*/false, at::kDouble);
    const at::Tensor active =
        g.gt(alive_threshold).sum(0, /*keepdim=*/false, at::kDouble);
    Module& module = modules_[m];
    const bool first = !module.importance.defined();
    module.importance = first ? importance : module.importance + importance;
    module.active = first ? active : module.active + active;
  }
  if (!importances.empty()) num_positions_ += importances[0].size(0);
}

Sparsity ImportanceSums::Read(const EvaluationRequest& request) const {
  Sparsity sparsity{.num_positions = num_positions_};
  const double count = static_cast<double>(num_positions_);
  for (const Module& module : modules_) {
    ModuleSparsity& read = sparsity.modules.emplace_back();
    read.mean_l0 = module.active.sum().item<double>() / count;
    read.num_alive = (module.importance / count)
                         .gt(request.alive_mean)
                         .sum()
                         .item<int64_t>();
    read.num_active = module.active.gt(0).sum().item<int64_t>();
    read.mean_importances = Means(module.importance, num_positions_);
    read.densities = Means(module.active, num_positions_);
  }
  return sparsity;
}

}  // namespace spar::models
