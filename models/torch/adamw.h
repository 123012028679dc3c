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
  double norm_epsilon = 1e-12;  // what is added to the norm that is clipped
};

// Keeps the parameters it was given; one thread at a time.
class AdamW {
 public:
  AdamW(const std::vector<at::Tensor>& parameters, const AdamWOptions& options);
  ~AdamW();
  AdamW(const AdamW&) = delete;
  AdamW& operator=(const AdamW&) = delete;

  // Moves every parameter that has a gradient by it, then clears the gradients.
  void Step(double learning_rate);

  const std::vector<at::Tensor>& parameters() const { return parameters_; }
  // The norm of all gradients together before the last step's clip; 0 where
  // nothing is clipped.
  double last_norm() const { return last_norm_; }

  // What an optimiser needs to go on elsewhere: of each parameter the means of
  // its gradients and of their squares, and the number of steps.
  const std::vector<at::Tensor>& means() const { return means_; }
  const std::vector<at::Tensor>& squares() const { return squares_; }
  int steps() const { return steps_; }
  void Restore(const std::vector<at::Tensor>& means,
               const std::vector<at::Tensor>& squares,
               int steps);

  // Goes on with some entries of a single parameter: the tensor returned is the
  // parameter from now on. `entries`: long, of its first dimension.
  at::Tensor Keep(const at::Tensor& entries);

 private:
  double Clip();

  const AdamWOptions options_;
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> means_;    // of the gradients
  std::vector<at::Tensor> squares_;  // of their squares
  int steps_ = 0;
  double last_norm_ = 0;
};

}  // namespace spar::models
