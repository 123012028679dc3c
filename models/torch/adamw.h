// L1t. The AdamW optimiser (Loshchilov and Hutter 2019), as PyTorch has it.
#pragma once

#include <limits>
#include <vector>

namespace at {
class Tensor;
}

namespace spar::models {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;  // of matrices only
  // Of all gradients together.
  double max_norm = std::numeric_limits<double>::infinity();
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

  // Goes on with some entries of a single parameter: the tensor returned is the
  // parameter from now on. `entries`: long, of its first dimension.
  at::Tensor Keep(const at::Tensor& entries);

 private:
  double Clip() const;

  const AdamWOptions options_;
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> means_;    // of the gradients
  std::vector<at::Tensor> squares_;  // of their squares
  int steps_ = 0;
};

}  // namespace spar::models
