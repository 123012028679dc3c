// L1t. Linear maps from streams that several modules share: each stream is read
// once, by one product for all of them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/decomposition_spec.h"
#include "models/torch/decomposition/module_inputs.h"
#include "models/torch/decomposition/stored_maps.h"

namespace spar::models {

// One map for each module, stacked by stream. Not for token streams.
class StreamMaps {
 public:
  // weights[m]: [out, d_in] of modules[m], in the storage dtype; biases[m]:
  // [out] or undefined, alike for all modules of a stream. A module may occur
  // several times.
  StreamMaps(const std::vector<DecomposedModule>& modules,
             std::vector<at::Tensor> weights,
             const std::vector<at::Tensor>& biases);
  StreamMaps() = default;

  // The weight of modules[m], a view.
  const at::Tensor& weight(size_t m) const { return weights_[m]; }

  // For each module, [tokens, out] (undefined for the embedding), views of one
  // product by stream.
  std::vector<at::Tensor> operator()(const ModuleInputs& inputs) const;

 private:
  struct Stack {
    StoredLinear map = {};
    std::vector<size_t> modules = {};
  };

  std::map<StreamKey, Stack> stacks_ = {};
  std::vector<at::Tensor> weights_ = {};
};

// The columns of a weight over concatenated inputs, [out, sum of widths], added
// up where inputs are the same stream: the same map from each stream once. Sums
// are float32 whatever the storage.
// `order` lists modules as the columns do.
class ConcatenatedMap {
 public:
  ConcatenatedMap(const StoredTensors& tensors,
                  const std::string& name,
                  const std::vector<int>& order);

  // The map of the inputs as they are, or with `rms` of each module's input
  // normalised alone. `activations`, by module, stand in for token streams.
  at::Tensor operator()(const ModuleInputs& inputs,
                        const std::vector<at::Tensor>& activations,
                        bool rms) const;

 private:
  struct Part {
    int module = 0;  // the first that reads this stream
    StreamKey key = {};
    at::Tensor weight = {};  // [out, width]
  };

  std::vector<Part> parts_ = {};
  at::Tensor bias_ = {};
};

}  // namespace spar::models
