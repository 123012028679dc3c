// Groups of modules, normally the last layer first, along one residual stream.
#include <optional>

#include "models/torch/aten.h"
#include "models/torch/decomposition/ci_attention.h"
#include "models/torch/decomposition/ci_kinds.h"
#include "models/torch/decomposition/ci_split.h"
#include "models/torch/decomposition/stream_maps.h"

namespace spar::models {
namespace {

// A step that reads the normed stream, with its norm's gain.
template <typename Step>
struct NormedInput {
  at::Tensor gain = {};  // [width]
  Step step;

  at::Tensor Read(const at::Tensor& r) const { return Rms(r) * gain; }
};

struct ResidualGroup {
  ConcatenatedMap input;
  std::optional<NormedInput<CiAttention>> attention = {};
  std::optional<NormedInput<StoredMlp>> transition = {};  // absent in the last
  NormedInput<StoredMlp> reader;
};

class CiReverseResidual final : public CiFunction {
 public:
  explicit CiReverseResidual(const StoredTensors& tensors)
      : ci_(tensors.spec().ci), modules_(tensors.spec().modules) {
    for (size_t i = 0; i < ci_.groups.size(); ++i) {
      groups_.push_back(LoadGroup(tensors, i));
    }
  }

  std::vector<at::Tensor> Logits(
      const ModuleInputs& inputs,
      const std::vector<at::Tensor>& activations) const override {
    at::Tensor r;
    std::vector<at::Tensor> logits(modules_.size());
    for (size_t i = 0; i < groups_.size(); ++i) {
      const ResidualGroup& group = groups_[i];
      const at::Tensor input = group.input(inputs, activations, /*rms=*/false);
      r = r.defined() ? r + input : input;
      if (group.attention.has_value()) {
        r = r + group.attention->step(group.attention->Read(r), inputs.runs);
      }
      if (group.transition.has_value()) {
        r = r + group.transition->step(group.transition->Read(r));
      }
      SplitLogits(group.reader.step(group.reader.Read(r)), modules_,
                  ci_.groups[i].modules, logits);
    }
    return logits;
  }

  int max_positions() const override {
    return ci_.attention.has_value() ? ci_.attention->max_positions : 0;
  }

 private:
  ResidualGroup LoadGroup(const StoredTensors& tensors, size_t index) const {
    const std::string name = "ci.groups." + std::to_string(index);
    const auto gain = [&](const char* step) {
      return tensors.Vector(name + "." + step + "_norm.weight");
    };
    ResidualGroup group{
        .input = ConcatenatedMap(tensors, name + ".input",
                                 ci_.groups[index].modules),
        .reader = {gain("reader"),
                   LoadMlp(tensors, name + ".reader", ci_.hidden.size())}};
    if (index + 1 == ci_.groups.size()) return group;
    if (ci_.attention.has_value()) {
      group.attention.emplace(NormedInput<CiAttention>{
          gain("attention"),
          CiAttention(tensors, name + ".attention", *ci_.attention)});
    }
    group.transition.emplace(NormedInput<StoredMlp>{
        gain("transition"),
        LoadMlp(tensors, name + ".transition",
                ci_.transition_hidden.has_value() ? 1 : 0)});
    return group;
  }

  const CiSpec ci_;
  const std::vector<DecomposedModule> modules_;
  std::vector<ResidualGroup> groups_ = {};
};

}  // namespace

std::unique_ptr<CiFunction> LoadCiReverseResidual(
    const StoredTensors& tensors) {
  return std::make_unique<CiReverseResidual>(tensors);
}

}  // namespace spar::models
