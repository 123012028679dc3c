#include "models/torch/reference_means.h"

#include "base/status.h"
#include "models/digest.h"
#include "models/torch/aten.h"
#include "models/torch/position_sums.h"

namespace spar::models {

std::string ReferenceDigestOf(ReferenceKind kind,
                              std::span<const std::vector<TokenId>> prompts) {
  if (kind == ReferenceKind::kZero) return Sha256Hex("zero");
  std::string text = "mean[";
  for (const std::vector<TokenId>& prompt : prompts) {
    text += text.back() == '[' ? "[" : ",[";
    for (const TokenId token : prompt) {
      text += base::Cat(text.back() == '[' ? "" : ",", token);
    }
    text += "]";
  }
  return Sha256Hex(text + "]");
}

ReferenceValues MeasureMeans(const Decoder& decoder,
                             const std::vector<std::vector<TokenId>>& prompts) {
  const DecoderSpec& spec = decoder.spec;
  const PositionRows rows(prompts);
  std::vector<PositionSums> heads, neurons;
  for (int layer = 0; layer < spec.num_layers; ++layer) {
    heads.emplace_back(rows, int64_t{spec.num_heads} * spec.head_dim,
                       decoder.device);
    neurons.emplace_back(rows, spec.mlp_width, decoder.device);
  }
  RunReferences(decoder, prompts, [&](const SequenceBatch& batch) {
    MaskOptions options;
    options.see_heads = [&](int layer, const at::Tensor& values) {
      heads[layer].Add(values, batch.ids());
    };
    options.see_neurons = [&](int layer, const at::Tensor& values) {
      neurons[layer].Add(values, batch.ids());
    };
    return options;
  });
  const at::Tensor counts = rows.Counts(decoder.device);
  ReferenceValues means{.last_row = rows.last()};
  for (int layer = 0; layer < spec.num_layers; ++layer) {
    means.heads.push_back((heads[layer].values() / counts).to(at::kFloat));
    means.neurons.push_back((neurons[layer].values() / counts).to(at::kFloat));
  }
  return means;
}

}  // namespace spar::models
