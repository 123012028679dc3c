// L1t. How far rotary positions turn.
#pragma once

#include <ATen/core/Tensor.h>

#include "models/decoder_spec.h"

namespace spar::models {

// Radians that each rotating pair turns at each position id; float64, [ids,
// rotary.dim / 2], on the device of `ids`.
at::Tensor RotaryAngles(const Rotary& rotary, const at::Tensor& ids);

}  // namespace spar::models
