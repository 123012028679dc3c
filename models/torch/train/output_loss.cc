#include "models/torch/train/output_loss.h"

#include "models/torch/aten.h"

namespace spar::models {

OutputLoss::OutputLoss(OutputDistance distance, const at::Tensor& output)
    : distance_(distance),
      target_(distance == OutputDistance::kKl ? output.log_softmax(-1)
                                              : output),
      probabilities_(distance == OutputDistance::kKl ? target_.exp()
                                                     : at::Tensor()) {}

OutputLoss::Value OutputLoss::Of(const at::Tensor& output) const {
  const c10::NoGradGuard no_grad;
  if (distance_ == OutputDistance::kMse) {
    const at::Tensor difference = output - target_;
    const double count = static_cast<double>(output.numel());
    return {.loss = (difference * difference).sum() / count,
            .slopes = difference * (2 / count)};
  }
  const double rows = static_cast<double>(output.size(0));
  at::Tensor logs = output.log_softmax(-1);
  const at::Tensor loss = ((target_ - logs) * probabilities_).sum() / rows;
  return {.loss = loss, .slopes = logs.exp_().sub_(probabilities_).div_(rows)};
}

}  // namespace spar::models
