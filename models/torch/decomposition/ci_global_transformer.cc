// A transformer over the inputs of all modules, bidirectional over positions:
// the CI function of "Interpreting Language Model Parameters".
#include "models/decomposition/decomposition_tensors.h"
#include "models/torch/aten.h"
#include "models/torch/decomposition/ci_attention.h"
#include "models/torch/decomposition/ci_kinds.h"
#include "models/torch/decomposition/ci_split.h"
#include "models/torch/decomposition/stream_maps.h"

namespace spar::models {
namespace {

struct Block {
  CiAttention attention;
  StoredMlp mlp;
};

class CiTransformer final : public CiFunction {
 public:
  explicit CiTransformer(const StoredTensors& tensors)
      : ci_(tensors.spec().ci),
        modules_(tensors.spec().modules),
        order_(ModulesByName(tensors.spec())),
        input_(tensors, "ci.input", order_),
        output_(LoadLinear(tensors, "ci.output")) {
    for (int i = 0; i < ci_.num_blocks; ++i) {
      const std::string block = "ci.blocks." + std::to_string(i);
      blocks_.push_back(
          {CiAttention(tensors, block + ".attention", *ci_.attention),
           LoadMlp(tensors, block + ".mlp", ci_.hidden.size())});
    }
  }

  std::vector<at::Tensor> Logits(
      const ModuleInputs& inputs,
      const std::vector<at::Tensor>& activations) const override {
    at::Tensor h = input_(inputs, activations, /*rms=*/true);
    for (const Block& block : blocks_) {
      h = h + block.attention(Rms(h), inputs.runs);
      h = h + block.mlp(Rms(h));
    }
    std::vector<at::Tensor> logits(modules_.size());
    SplitLogits(output_(h), modules_, order_, logits);
    return logits;
  }

  int max_positions() const override { return ci_.attention->max_positions; }

 private:
  const CiSpec ci_;
  const std::vector<DecomposedModule> modules_;
  const std::vector<int> order_;
  const ConcatenatedMap input_;
  std::vector<Block> blocks_ = {};
  const StoredLinear output_;
};

}  // namespace

std::unique_ptr<CiFunction> LoadCiTransformer(const StoredTensors& tensors) {
  return std::make_unique<CiTransformer>(tensors);
}

}  // namespace spar::models
