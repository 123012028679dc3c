// L1t. What ablated runs of one prompt say beside the model itself.
#pragma once

#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/ablation.h"
#include "models/torch/parameters.h"

namespace spar::models {

// Throws c10::Error.
class AblatedReadout {
 public:
  // `model_logits`: of the model itself at the positions read, [positions,
  // vocab]: all of the prompt, or its last.
  AblatedReadout(const AblationRequest& request,
                 const std::vector<TokenId>& tokens,
                 const at::Tensor& model_logits);

  const std::vector<AblatedPosition>& baseline() const { return baseline_; }
  // The model's own log-probabilities, [positions, vocab].
  const at::Tensor& log_probabilities() const { return model_; }

  // By run. logits: [runs * positions, vocab].
  std::vector<std::vector<AblatedPosition>> Read(
      const at::Tensor& logits) const;

  // KL(model || run) at each position, [runs, positions], nats. Differentiable
  // in the logits.
  at::Tensor Divergences(const at::Tensor& logits) const;

 private:
  int64_t num_positions() const { return model_.size(0); }

  const int top_k_;
  const std::vector<TokenId> tokens_;
  at::Tensor model_ = {};              // log p, [positions, vocab]
  at::Tensor probabilities_ = {};      // p
  std::vector<TokenId> targets_ = {};  // [position read]
  std::vector<AblatedPosition> baseline_ = {};
};

}  // namespace spar::models
