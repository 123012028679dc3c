#include "models/torch/train/factors.h"

#include <cmath>

#include "base/status.h"
#include "models/decomposition/decomposition_tensors.h"
#include "models/torch/aten.h"
#include "models/torch/train/draws.h"

namespace spar::models {
namespace {

// Adds alpha a b to the gradient of a leaf.
void AddProduct(const at::Tensor& leaf,
                const at::Tensor& a,
                const at::Tensor& b,
                double alpha) {
  at::Tensor& gradient = leaf.mutable_grad();
  if (gradient.defined()) {
    gradient.addmm_(a, b, 1, alpha);
  } else {
    gradient = at::mm(a, b).mul_(alpha);
  }
}

}  // namespace

TrainedFactors::TrainedFactors(const TrainTarget& target,
                               const std::vector<DecomposedModule>& modules,
                               uint64_t seed)
    : modules_(modules) {
  const DrawKey key = KeyOf(seed, DrawUse::kFactors);
  const c10::NoGradGuard no_grad;
  for (size_t m = 0; m < modules_.size(); ++m) {
    const DecomposedModule& module = modules_[m];
    const int64_t count = module.num_components;
    const auto draw = [&](uint64_t which, int64_t width, int64_t terms) {
      return key.Of(m).Of(which).Normal({count, width}, target.device()) /
             std::sqrt(static_cast<double>(terms));
    };
    v_.push_back(draw(0, module.d_in, module.d_in));
    u_.push_back(draw(1, module.d_out, count));
    weights_.push_back(target.Weight(static_cast<int>(m)));
    num_entries_ += static_cast<double>(weights_.back().numel());
  }
  std::vector<bool> is_copy(modules_.size());
  const std::vector<std::pair<int, int>> tied = target.tied();
  for (const auto& [first, second] : tied) {
    INVARIANT(modules_[first].num_components ==
              modules_[second].num_components);
    v_[second] = u_[first];
    u_[second] = v_[first];
    is_copy[second] = true;
  }
  for (size_t m = 0; m < modules_.size(); ++m) {
    if (is_copy[m]) continue;
    v_[m].requires_grad_(true);
    u_[m].requires_grad_(true);
    parameters_.emplace_back(VName(modules_[m]), v_[m]);
    parameters_.emplace_back(UName(modules_[m]), u_[m]);
  }
}

std::vector<at::Tensor> TrainedFactors::leaves() const {
  std::vector<at::Tensor> leaves;
  for (const auto& [name, leaf] : parameters_) leaves.push_back(leaf);
  return leaves;
}

at::Tensor TrainedFactors::Delta(size_t m) const {
  return at::addmm(weights_[m], u_[m].t(), v_[m], 1, -1);
}

double TrainedFactors::AddFaithfulness(double scale) {
  const c10::NoGradGuard no_grad;
  double sum = 0;
  for (size_t m = 0; m < modules_.size(); ++m) {
    const at::Tensor delta = Delta(m);
    const double norm = at::linalg_vector_norm(delta).item<double>();
    sum += norm * norm;
    const double slope = -2 * scale / num_entries_;
    AddProduct(v_[m], u_[m], delta, slope);
    AddProduct(u_[m], v_[m], delta.t(), slope);
  }
  return sum / num_entries_;
}

double TrainedFactors::Faithfulness() const {
  const c10::NoGradGuard no_grad;
  double sum = 0;
  for (size_t m = 0; m < modules_.size(); ++m) {
    const double norm = at::linalg_vector_norm(Delta(m)).item<double>();
    sum += norm * norm;
  }
  return sum / num_entries_;
}

}  // namespace spar::models
