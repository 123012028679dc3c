// L1t. From CI logits to causal importances: docs/formats.md, "Sigmoids".
#pragma once

#include <ATen/core/Tensor.h>

#include "models/decomposition_spec.h"

namespace spar::models {

// The causal importance g, in [0, 1] but for kUpperLeakyHard. Under kBinomial
// the logit is first moved as its mean in training: 1.05 z - 0.025.
at::Tensor LowerSigmoid(CiSigmoid kind,
                        MaskSampling sampling,
                        const at::Tensor& z);

// What training penalises; may exceed 1.
at::Tensor UpperSigmoid(CiSigmoid kind, const at::Tensor& z);

// d(loss)/dz given the loss's slopes in the result, of the same shape. True
// derivatives, but for the lower function of kLeakyHard, whose dead side lets
// a slope through, at a hundredth, only where the loss wants more importance.
at::Tensor LowerSigmoidSlope(CiSigmoid kind,
                             MaskSampling sampling,
                             const at::Tensor& z,
                             const at::Tensor& upstream);
at::Tensor UpperSigmoidSlope(CiSigmoid kind,
                             const at::Tensor& z,
                             const at::Tensor& upstream);

}  // namespace spar::models
