// One MLP for each subcomponent, from its own activation.
#include "models/torch/aten.h"
#include "models/torch/decomposition/ci_kinds.h"

namespace spar::models {
namespace {

struct Member {
  at::Tensor weight = {};  // of the first layer, [C, h]
  at::Tensor bias = {};    // [C, h]
  ParallelMlp rest = {};
};

class CiMlp final : public CiFunction {
 public:
  explicit CiMlp(const StoredTensors& tensors) {
    const CiSpec& ci = tensors.spec().ci;
    for (const DecomposedModule& module : tensors.spec().modules) {
      const std::string prefix = "ci." + module.name;
      Member member;
      member.weight =
          Widened(tensors.Matrix(prefix + ".layers.0.weight")).squeeze(2);
      member.bias = tensors.Vector(prefix + ".layers.0.bias");
      member.rest = LoadParallelMlp(tensors, prefix, ci.hidden.size());
      members_.push_back(std::move(member));
    }
    for (const int width : ci.hidden) widest_ = std::max(widest_, width);
  }

  std::vector<at::Tensor> Logits(
      const ModuleInputs&,
      const std::vector<at::Tensor>& activations) const override {
    std::vector<at::Tensor> logits;
    for (size_t m = 0; m < members_.size(); ++m) {
      const Member& member = members_[m];
      const at::Tensor& a = activations[m];
      logits.push_back(at::cat(InPieces(
          a.size(0), a.size(1) * widest_, [&](int64_t begin, int64_t count) {
            const at::Tensor some = a.narrow(0, begin, count).unsqueeze(2);
            return member.rest(some * member.weight + member.bias);
          })));
    }
    return logits;
  }

 private:
  std::vector<Member> members_ = {};
  int widest_ = 1;
};

}  // namespace

std::unique_ptr<CiFunction> LoadCiMlp(const StoredTensors& tensors) {
  return std::make_unique<CiMlp>(tensors);
}

}  // namespace spar::models
