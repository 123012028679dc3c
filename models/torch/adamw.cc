// L1t. See adamw.h.
#include "models/torch/adamw.h"

#include <algorithm>
#include <cmath>

#include "base/status.h"
#include "models/torch/aten.h"

namespace spar::models {

AdamW::AdamW(const std::vector<at::Tensor>& parameters,
             const AdamWOptions& options)
    : options_(options), parameters_(parameters) {
  for (const at::Tensor& parameter : parameters_) {
    means_.push_back(at::zeros(parameter.sizes(), parameter.options()));
    squares_.push_back(at::zeros(parameter.sizes(), parameter.options()));
  }
}

AdamW::~AdamW() = default;

double AdamW::Clip() {
  if (std::isinf(options_.max_norm)) return 1;
  double square_norm = 0;
  for (const at::Tensor& parameter : parameters_) {
    const at::Tensor& gradient = parameter.grad();
    if (!gradient.defined()) continue;
    square_norm += (gradient * gradient).sum().item<double>();
  }
  last_norm_ = std::sqrt(square_norm);
  return std::min(1.0,
                  options_.max_norm / (last_norm_ + options_.norm_epsilon));
}

void AdamW::Step(double learning_rate) {
  const c10::NoGradGuard no_grad;
  ++steps_;
  const double clip = Clip();
  const double step = learning_rate / (1 - std::pow(options_.beta1, steps_));
  const double unbias = 1 / std::sqrt(1 - std::pow(options_.beta2, steps_));
  for (size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor gradient = parameters_[i].grad();
    if (!gradient.defined()) continue;
    if (clip != 1) gradient = gradient * clip;
    means_[i].mul_(options_.beta1).add_(gradient, 1 - options_.beta1);
    squares_[i]
        .mul_(options_.beta2)
        .addcmul_(gradient, gradient, 1 - options_.beta2);
    if (parameters_[i].dim() > 1) {
      parameters_[i].mul_(1 - learning_rate * options_.weight_decay);
    }
    const at::Tensor root =
        squares_[i].sqrt().mul_(unbias).add_(options_.epsilon);
    parameters_[i].addcdiv_(means_[i], root, -step);
    parameters_[i].mutable_grad() = at::Tensor();
  }
}

void AdamW::Restore(const std::vector<at::Tensor>& means,
                    const std::vector<at::Tensor>& squares,
                    int steps) {
  INVARIANT(means.size() == means_.size());
  INVARIANT(squares.size() == squares_.size());
  const c10::NoGradGuard no_grad;
  for (size_t i = 0; i < means_.size(); ++i) {
    means_[i].copy_(means[i]);
    squares_[i].copy_(squares[i]);
  }
  steps_ = steps;
}

at::Tensor AdamW::Keep(const at::Tensor& entries) {
  INVARIANT(parameters_.size() == 1);
  const c10::NoGradGuard no_grad;
  for (auto* const tensors : {&parameters_, &means_, &squares_}) {
    tensors->front() = tensors->front().index_select(0, entries);
  }
  return parameters_.front();
}

}  // namespace spar::models
