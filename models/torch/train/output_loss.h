// L1t. How far an output is from the target's.
#pragma once

#include <ATen/core/Tensor.h>

#include "models/train/train_config.h"

namespace spar::models {

// The target's output of one batch. Immutable. Throws c10::Error.
class OutputLoss {
 public:
  // `output`: [rows, outputs]; of kKl logits.
  OutputLoss(OutputDistance distance, const at::Tensor& output);

  struct Value {
    at::Tensor loss = {};    // a number
    at::Tensor slopes = {};  // d loss / d output, [rows, outputs]
  };
  // kKl: the mean over rows of KL(softmax(target) || softmax(output)), nats;
  // kMse: the mean square difference of all entries. Without gradients.
  Value Of(const at::Tensor& output) const;

 private:
  const OutputDistance distance_;
  const at::Tensor target_;  // kKl: log probabilities
  const at::Tensor probabilities_;
};

}  // namespace spar::models
