// One MLP for all subcomponents of a module, from its input.
#include "models/torch/aten.h"
#include "models/torch/decomposition/ci_kinds.h"
#include "models/torch/decomposition/stream_maps.h"

namespace spar::models {
namespace {

class CiSharedMlp final : public CiFunction {
 public:
  explicit CiSharedMlp(const StoredTensors& tensors) {
    const size_t num_hidden = tensors.spec().ci.hidden.size();
    std::vector<at::Tensor> weights, biases;
    for (const DecomposedModule& module : tensors.spec().modules) {
      StoredMlp mlp = LoadMlp(tensors, "ci." + module.name, num_hidden);
      weights.push_back(std::move(mlp.layers[0].weight));
      biases.push_back(std::move(mlp.layers[0].bias));
      mlp.layers.erase(mlp.layers.begin());
      rest_.push_back(std::move(mlp));
    }
    first_ = StreamMaps(tensors.spec().modules, std::move(weights), biases);
  }

  std::vector<at::Tensor> Logits(
      const ModuleInputs& inputs,
      const std::vector<at::Tensor>&) const override {
    std::vector<at::Tensor> values = first_(inputs);
    for (size_t m = 0; m < values.size(); ++m) {
      if (!rest_[m].layers.empty()) values[m] = rest_[m](at::gelu(values[m]));
    }
    return values;
  }

 private:
  StreamMaps first_ = {};
  std::vector<StoredMlp> rest_ = {};
};

}  // namespace

std::unique_ptr<CiFunction> LoadCiSharedMlp(const StoredTensors& tensors) {
  return std::make_unique<CiSharedMlp>(tensors);
}

}  // namespace spar::models
