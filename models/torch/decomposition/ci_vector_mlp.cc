// One MLP for each subcomponent, from its module's input.
#include "models/torch/aten.h"
#include "models/torch/decomposition/ci_kinds.h"
#include "models/torch/decomposition/stream_maps.h"

namespace spar::models {
namespace {

class CiVectorMlp final : public CiFunction {
 public:
  explicit CiVectorMlp(const StoredTensors& tensors) {
    const CiSpec& ci = tensors.spec().ci;
    const std::vector<DecomposedModule>& modules = tensors.spec().modules;
    std::vector<at::Tensor> weights, biases;
    int64_t widest = 1;
    for (const int width : ci.hidden) widest = std::max<int64_t>(widest, width);
    for (const DecomposedModule& module : modules) {
      const std::string prefix = "ci." + module.name;
      const std::string first = prefix + ".layers.0";
      weights.push_back(tensors.Matrix(first + ".weight").flatten(0, 1));
      biases.push_back(tensors.Vector(first + ".bias").flatten());
      rest_.push_back(LoadParallelMlp(tensors, prefix, ci.hidden.size()));
      num_components_.push_back(module.num_components);
      floats_per_row_ += module.num_components * widest;
    }
    first_ = StreamMaps(modules, std::move(weights), biases);
  }

  std::vector<at::Tensor> Logits(
      const ModuleInputs& inputs,
      const std::vector<at::Tensor>&) const override {
    const std::vector<std::vector<at::Tensor>> pieces =
        InPieces(inputs.num_tokens(), floats_per_row_,
                 [&](int64_t begin, int64_t count) {
                   return LogitsOfRows(inputs.Rows(begin, count));
                 });
    std::vector<at::Tensor> logits;
    for (size_t m = 0; m < rest_.size(); ++m) {
      std::vector<at::Tensor> rows;
      for (const auto& piece : pieces) rows.push_back(piece[m]);
      logits.push_back(at::cat(rows));
    }
    return logits;
  }

 private:
  std::vector<at::Tensor> LogitsOfRows(const ModuleInputs& inputs) const {
    std::vector<at::Tensor> values = first_(inputs);
    for (size_t m = 0; m < values.size(); ++m) {
      values[m] = rest_[m](values[m].unflatten(1, {num_components_[m], -1}));
    }
    return values;
  }

  StreamMaps first_ = {};
  std::vector<ParallelMlp> rest_ = {};
  std::vector<int64_t> num_components_ = {};
  int64_t floats_per_row_ = 0;
};

}  // namespace

std::unique_ptr<CiFunction> LoadCiVectorMlp(const StoredTensors& tensors) {
  return std::make_unique<CiVectorMlp>(tensors);
}

}  // namespace spar::models
