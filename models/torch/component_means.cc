#include "models/torch/component_means.h"

#include <map>
#include <utility>

#include "models/torch/aten.h"
#include "models/torch/position_sums.h"

namespace spar::models {
namespace {

using StreamSums = std::map<std::pair<int, InputStream>, PositionSums>;

// Everything but the embedding is linear in what it reads, so the mean of that
// is enough.
StreamSums SumStreams(const DecomposedDecoder& decomposed,
                      const PositionRows& rows,
                      const std::vector<std::vector<TokenId>>& prompts) {
  const Decoder& decoder = decomposed.decoder();
  StreamSums sums;
  for (const ComponentModule& one : decomposed.modules()) {
    const DecomposedModule& module = one.module;
    if (module.site == ModuleSite::kEmbedding) continue;
    sums.try_emplace({module.layer, InputStreamOf(module.site)}, rows,
                     module.d_in, decoder.device);
  }
  if (sums.empty()) return sums;
  RunReferences(decoder, prompts, [&](const SequenceBatch& batch) {
    const auto add = [&](InputStream stream) {
      return [&sums, &batch, stream](int layer, const at::Tensor& values) {
        const auto found = sums.find({layer, stream});
        if (found != sums.end()) found->second.Add(values, batch.ids());
      };
    };
    MaskOptions options;
    options.see_attention_input = add(InputStream::kAttentionInput);
    options.see_heads = add(InputStream::kMixedValues);
    options.see_mlp_input = add(InputStream::kMlpInput);
    options.see_neurons = add(InputStream::kHidden);
    return options;
  });
  return sums;
}

// The embedding reads tokens: their columns of V and W.
std::pair<PositionSums, PositionSums> SumColumns(
    const DecomposedDecoder& decomposed,
    int module,
    const PositionRows& rows,
    const std::vector<std::vector<TokenId>>& prompts) {
  const Decoder& decoder = decomposed.decoder();
  const at::Tensor v = decomposed.V(module, {});
  const at::Tensor weight = decomposed.Weight(module);
  PositionSums activations(rows, v.size(0), decoder.device);
  PositionSums target(rows, weight.size(0), decoder.device);
  for (const std::vector<TokenId>& prompt : prompts) {
    const SequenceBatch batch(decoder, {WholeSequence(prompt)});
    const auto columns = [&](const at::Tensor& matrix) {
      return matrix.t().index_select(0, batch.tokens());
    };
    activations.Add(columns(v), batch.ids());
    target.Add(columns(weight), batch.ids());
  }
  return {activations, target};
}

}  // namespace

ComponentMeans MeasureComponentMeans(
    const DecomposedDecoder& decomposed,
    const std::vector<std::vector<TokenId>>& prompts) {
  const c10::AutoGradMode no_gradients(false);
  const Decoder& decoder = decomposed.decoder();
  const PositionRows rows(prompts);
  const StreamSums streams = SumStreams(decomposed, rows, prompts);
  const at::Tensor counts = rows.Counts(decoder.device);
  const auto mean_of = [&](const PositionSums& sums) {
    return (sums.values() / counts).to(decoder.dtype);
  };
  ComponentMeans means{.last_row = rows.last()};
  for (size_t i = 0; i < decomposed.modules().size(); ++i) {
    const int m = static_cast<int>(i);
    const DecomposedModule& module = decomposed.modules()[i].module;
    ModuleMeans mean;
    if (module.site == ModuleSite::kEmbedding) {
      const auto [activations, target] =
          SumColumns(decomposed, m, rows, prompts);
      mean.activations = mean_of(activations);
      mean.target = mean_of(target);
    } else {
      const at::Tensor input =
          mean_of(streams.at({module.layer, InputStreamOf(module.site)}));
      mean.activations = at::linear(input, decomposed.V(m, {}));
      mean.target = at::linear(input, decomposed.Weight(m));
    }
    mean.sum = at::mm(mean.activations, decomposed.U(m, {}));
    means.modules.push_back(std::move(mean));
  }
  return means;
}

}  // namespace spar::models
