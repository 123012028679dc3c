#include "models/torch/train/decoder_target.h"

#include <utility>

#include "models/torch/aten.h"
#include "models/torch/component_forward.h"

namespace spar::models {
namespace {

std::vector<ComponentModule> WithoutFactors(
    const std::vector<DecomposedModule>& modules) {
  std::vector<ComponentModule> empty;
  for (const DecomposedModule& module : modules) {
    empty.push_back({.module = module});
  }
  return empty;
}

SequenceBatch SequencesOfData(const Decoder& decoder, const at::Tensor& data) {
  const at::Tensor ids = data.to(at::kLong).contiguous();
  const int64_t* id = ids.const_data_ptr<int64_t>();
  std::vector<Sequence> sequences;
  for (int64_t i = 0; i < ids.size(0); ++i, id += ids.size(1)) {
    const std::vector<TokenId> tokens(id, id + ids.size(1));
    sequences.push_back(WholeSequence(tokens));
  }
  return SequenceBatch(decoder, std::move(sequences));
}

class DecoderBatch final : public TargetBatch {
 public:
  DecoderBatch(const Decoder& decoder,
               const DecomposedDecoder& places,
               const at::Tensor& data)
      : decoder_(decoder),
        places_(places),
        batch_(SequencesOfData(decoder, data)) {}

  const std::vector<Run>& runs() const override { return batch_.runs(); }

  at::Tensor Forward(const ReplacedModules& modules) override {
    ComponentRun run;
    run.replaced = modules.which;
    run.replace = modules.apply;
    if (modules.is_target) {
      streams_.clear();
      run.see_stream = [&](int, const at::Tensor& stream) {
        streams_.push_back(stream);
      };
    } else {
      Begin(modules.which, run);
    }
    return Logits(decoder_, ComponentForward(places_, batch_, run));
  }

 private:
  // Up to the first replaced layer the run is the target's.
  void Begin(const std::vector<bool>& which, ComponentRun& run) const {
    if (streams_.empty()) return;
    int first = decoder_.spec.num_layers - 1;
    for (size_t m = 0; m < which.size(); ++m) {
      if (which[m]) first = std::min(first, places_.modules()[m].module.layer);
    }
    if (first < 0) return;  // the embedding
    run.first_layer = first;
    run.stream = streams_[first];
  }

  const Decoder& decoder_;
  const DecomposedDecoder& places_;
  SequenceBatch batch_;
  std::vector<at::Tensor> streams_ = {};  // of the target, before each layer
};

}  // namespace

DecoderTarget::DecoderTarget(const Decoder& decoder,
                             std::vector<DecomposedModule> modules)
    : decoder_(decoder),
      modules_(std::move(modules)),
      places_(decoder, WithoutFactors(modules_)) {}

at::Tensor DecoderTarget::Weight(int module) const {
  return places_.Weight(module);
}

at::Tensor DecoderTarget::StoredOutputs(int module, const at::Tensor& u) const {
  const at::Tensor outputs = EngineOutputs(decoder_.spec, modules_[module]);
  if (!outputs.defined()) return u;
  at::Tensor stored = at::empty(u.sizes(), u.options());
  return stored.index_copy_(1, outputs.to(u.device()), u);
}

std::unique_ptr<TargetBatch> DecoderTarget::Start(
    const at::Tensor& data) const {
  return std::make_unique<DecoderBatch>(decoder_, places_, data);
}

}  // namespace spar::models
