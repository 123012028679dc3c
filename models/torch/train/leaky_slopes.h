// L1t. What training needs of the leaky hard sigmoids on the host, in a pass or
// two each: the same numbers as ci_sigmoids.h and importance_price.h, which
// take a pass for every operation. Tensors are float32 on the CPU.
#pragma once

#include <ATen/core/Tensor.h>

namespace spar::models {

// LowerSigmoidSlope of kLeakyHard, times `scale`. z, upstream: [N, C].
at::Tensor LowerLeakySlope(const at::Tensor& z,
                           const at::Tensor& upstream,
                           double scale);

struct LeakyPriceOptions {
  double power = 1;
  double beta = 0;
  double epsilon = 0;
  double coefficient = 1;
};

// The price of h = UpperSigmoid of kLeakyHard of z, [N, C]. Adds `coefficient`
// times its slopes in z to `slopes`, [N, C], contiguous.
double AddLeakyPrice(const at::Tensor& z,
                     const LeakyPriceOptions& options,
                     at::Tensor& slopes);

}  // namespace spar::models
