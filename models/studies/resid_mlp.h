// L1t. A residual stream of MLPs with fewer neurons than features, trained to
// compute relu(x) + x of every feature (compressed computation).
#pragma once

#include <vector>

#include "models/studies/toy_target.h"

namespace spar::studies {

struct ResidMlpOptions {
  int num_features = 100;
  int width = 1000;  // of the stream
  int neurons = 50;  // of each layer
  int num_layers = 1;
  double probability = 0.01;  // of a feature to be active; values in [-1, 1)
  int batch_size = 2048;
  ToyTraining training = {
      .steps = 1000,
      .rate = {.rate = 3e-3, .shape = models::RateShape::kCosine}};
  uint64_t seed = 0;
};

// r = x E; r += relu(r W_in^T) W_out^T, layer by layer; r E^T. The rows of E
// are fixed unit vectors; there are no biases.
class ResidMlp final : public ToyTarget {
 public:
  static ResidMlp Train(const ResidMlpOptions& options);

  // embedding: [features, width]; weights: W_in [neurons, width] and W_out
  // [width, neurons] of each layer in turn.
  ResidMlp(const at::Tensor& embedding, const std::vector<at::Tensor>& weights);

  at::Tensor Run(const at::Tensor& data, const Apply& apply) const override;

 private:
  const at::Tensor embedding_;
};

}  // namespace spar::studies
