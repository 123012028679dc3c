// L1t. The checker's transformer: one prompt, all positions, all units, masks.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "models/row.h"
#include "models/torch/dense_weights.h"

namespace at {
class Tensor;
}

namespace spar::models {

// What one dense run changes of the plain model. Called in mid-run with what
// the units of a layer hold, [position][head x head_dim] before the output
// projection and [position][neuron] before the down projection; returns what
// they shall hold instead.
struct DenseHooks {
  std::function<at::Tensor(int layer, const at::Tensor& values)> on_heads = {};
  std::function<at::Tensor(int layer, const at::Tensor& values)> on_neurons =
      {};
  // What a weight makes of x, [position][in], before any bias; undefined: what
  // it makes anyway. The unembedding is not asked about.
  std::function<at::Tensor(const WeightRef& weight, const at::Tensor& x)>
      on_product = {};
  // The token embeddings, [position][width], in place of the rows.
  std::function<at::Tensor(const at::Tensor& rows)> on_embedding = {};
};

// Logits of the last position, [vocab], float64. Keys at positions outside
// `kept` are masked in every layer and head; nothing is left out of the
// arithmetic but that. `ids` fit the model, and `kept` holds the last one.
at::Tensor DenseLogits(DenseWeights& weights,
                       std::span<const TokenId> ids,
                       const IndexSet& kept,
                       const DenseHooks& hooks);

}  // namespace spar::models
