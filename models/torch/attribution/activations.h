// L1t. The activation function of an MLP and its slope, entry by entry.
#pragma once

#include <ATen/core/Tensor.h>

#include "models/decoder_spec.h"

namespace spar::models {

at::Tensor ActivationAt(Activation kind, const at::Tensor& pre);
at::Tensor SlopeAt(Activation kind, const at::Tensor& pre);

}  // namespace spar::models
