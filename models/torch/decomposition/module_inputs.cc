#include "models/torch/decomposition/module_inputs.h"

#include <functional>
#include <set>

#include "models/torch/aten.h"
#include "models/torch/masked_forward.h"

namespace spar::models {

int64_t ModuleInputs::num_tokens() const {
  return streams.begin()->second.size(0);
}

ModuleInputs ModuleInputs::Rows(int64_t begin, int64_t count) const {
  ModuleInputs rows;
  for (const auto& [key, values] : streams) {
    rows.streams[key] = values.narrow(0, begin, count);
  }
  return rows;
}

ModuleInputs CaptureInputs(const Decoder& decoder,
                           SequenceBatch& batch,
                           const std::vector<DecomposedModule>& modules) {
  ModuleInputs inputs;
  inputs.runs = batch.runs();
  std::set<StreamKey> wanted;
  for (const DecomposedModule& module : modules) {
    wanted.insert(StreamOf(module));
  }
  inputs.streams[StreamKey{}] = batch.tokens();
  const auto keep = [&](InputStream stream) {
    return [&, stream](int layer, const at::Tensor& values) {
      const StreamKey key{.layer = layer, .stream = stream};
      if (wanted.contains(key)) inputs.streams[key] = values.to(at::kFloat);
    };
  };
  MaskOptions options;
  options.last_only = false;
  options.see_attention_input = keep(InputStream::kAttentionInput);
  options.see_heads = keep(InputStream::kMixedValues);
  options.see_mlp_input = keep(InputStream::kMlpInput);
  options.see_neurons = keep(InputStream::kHidden);
  MaskedForward(decoder, batch, options);
  return inputs;
}

}  // namespace spar::models
