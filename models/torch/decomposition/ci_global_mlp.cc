// One MLP from the inputs of all modules to the logits of all.
#include "models/decomposition/decomposition_tensors.h"
#include "models/torch/aten.h"
#include "models/torch/decomposition/ci_kinds.h"
#include "models/torch/decomposition/ci_split.h"
#include "models/torch/decomposition/stream_maps.h"

namespace spar::models {
namespace {

class CiGlobalMlp final : public CiFunction {
 public:
  explicit CiGlobalMlp(const StoredTensors& tensors)
      : modules_(tensors.spec().modules),
        order_(ModulesByName(tensors.spec())),
        first_(tensors, "ci.layers.0", order_) {
    for (size_t j = 1; j <= tensors.spec().ci.hidden.size(); ++j) {
      rest_.layers.push_back(
          LoadLinear(tensors, "ci.layers." + std::to_string(j)));
    }
  }

  std::vector<at::Tensor> Logits(
      const ModuleInputs& inputs,
      const std::vector<at::Tensor>& activations) const override {
    at::Tensor z = first_(inputs, activations, /*rms=*/false);
    if (!rest_.layers.empty()) z = rest_(at::gelu(z));
    std::vector<at::Tensor> logits(modules_.size());
    SplitLogits(z, modules_, order_, logits);
    return logits;
  }

 private:
  const std::vector<DecomposedModule> modules_;
  const std::vector<int> order_;
  const ConcatenatedMap first_;
  StoredMlp rest_ = {};
};

}  // namespace

std::unique_ptr<CiFunction> LoadCiGlobalMlp(const StoredTensors& tensors) {
  return std::make_unique<CiGlobalMlp>(tensors);
}

}  // namespace spar::models
