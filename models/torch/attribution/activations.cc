#include "models/torch/attribution/activations.h"

#include <ATen/ops/ones_like.h>

#include "models/torch/aten.h"

namespace spar::models {

at::Tensor ActivationAt(Activation kind, const at::Tensor& pre) {
  switch (kind) {
    case Activation::kGeluTanh:
      return at::gelu(pre, "tanh");
    case Activation::kGeluErf:
      return at::gelu(pre);
    case Activation::kSilu:
      return at::silu(pre);
    case Activation::kRelu:
      break;
  }
  return at::relu(pre);
}

at::Tensor SlopeAt(Activation kind, const at::Tensor& pre) {
  switch (kind) {
    case Activation::kGeluTanh:
      return at::gelu_backward(at::ones_like(pre), pre, "tanh");
    case Activation::kGeluErf:
      return at::gelu_backward(at::ones_like(pre), pre);
    case Activation::kSilu:
      return at::silu_backward(at::ones_like(pre), pre);
    case Activation::kRelu:
      break;
  }
  return (pre > 0).to(pre.scalar_type());
}

}  // namespace spar::models
