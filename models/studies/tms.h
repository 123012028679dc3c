// L1t. The toy model of superposition (Elhage et al. 2022): more features than
// hidden directions, each feature told apart from the others by ReLU.
#pragma once

#include <utility>
#include <vector>

#include "models/studies/toy_target.h"

namespace spar::studies {

struct TmsOptions {
  int num_features = 5;
  int hidden = 2;
  double probability = 0.05;  // of a feature to be active
  int batch_size = 1024;
  ToyTraining training = {.steps = 10'000, .rate = {.rate = 5e-3}};
  uint64_t seed = 0;
};

// relu(W^T W x + b): linear1 is W, [hidden, features], linear2 its transpose.
class Tms final : public ToyTarget {
 public:
  // Trains one to give back what it reads.
  static Tms Train(const TmsOptions& options);

  // weight: [hidden, features]; bias: [features].
  Tms(const at::Tensor& weight, const at::Tensor& bias);

  at::Tensor Run(const at::Tensor& data, const Apply& apply) const override;
  std::vector<std::pair<int, int>> tied() const override { return {{0, 1}}; }

 private:
  const at::Tensor bias_;
};

}  // namespace spar::studies
