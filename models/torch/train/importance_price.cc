#include "models/torch/train/importance_price.h"

#include <numbers>

#include "models/torch/aten.h"

namespace spar::models {

ImportancePrice PriceOf(const at::Tensor& h,
                        double power,
                        double beta,
                        double epsilon) {
  const c10::NoGradGuard no_grad;
  const double rows = static_cast<double>(h.size(0));
  const at::Tensor raised = h + epsilon;
  // t^(p - 1), and of it t^p: one power for both.
  const at::Tensor lower = power == 2
                               ? raised
                               : (power == 1 ? at::ones(h.sizes(), h.options())
                                             : raised.pow(power - 1));
  const at::Tensor sums = (lower * raised).sum(0);  // [C]
  const at::Tensor logs = sums.log1p() / std::numbers::ln2;
  const at::Tensor outer =
      1 + beta * (logs + sums / ((1 + sums) * std::numbers::ln2));
  return {.loss = (sums * (1 + beta * logs)).sum() / rows,
          .slopes = lower * (outer * (power / rows))};
}

}  // namespace spar::models
