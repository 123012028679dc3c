// L1t. The AdamW optimiser.
#pragma once

#include <vector>

namespace at {
class Tensor;
}

namespace spar::demo {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.98;
  double epsilon = 1e-8;
  double weight_decay = 0.02;  // of matrices only
  double max_norm = 1.0;       // of all gradients together
};

// Keeps the parameters it was given; one thread at a time.
class AdamW {
 public:
  AdamW(const std::vector<at::Tensor>& parameters, const AdamWOptions& options);
  ~AdamW();
  AdamW(const AdamW&) = delete;
  AdamW& operator=(const AdamW&) = delete;

  // Moves every parameter by its gradient, then clears the gradients.
  void Step(double learning_rate);

 private:
  const AdamWOptions options_;
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> means_;    // of the gradients
  std::vector<at::Tensor> squares_;  // of their squares
  int steps_ = 0;
};

}  // namespace spar::demo
