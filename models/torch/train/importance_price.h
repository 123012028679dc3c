// L1t. Importance minimality: what alive subcomponents cost.
#pragma once

#include <ATen/core/Tensor.h>

namespace spar::models {

struct ImportancePrice {
  at::Tensor loss = {};    // a number
  at::Tensor slopes = {};  // d loss / d h, as h
};

// Of one module. With h the upper importances, [N, C], and
//   S_c = sum over rows of (h_c + epsilon)^p,
//   loss = sum_c S_c / N (1 + beta log2(1 + S_c))
// (VPD, section 2; the frequency term counts rows, so it depends on the batch).
// In closed form. Throws c10::Error.
ImportancePrice PriceOf(const at::Tensor& h,
                        double power,
                        double beta,
                        double epsilon);

}  // namespace spar::models
