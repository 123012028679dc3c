#include "models/torch/recomposition.h"

#include "models/torch/aten.h"

namespace spar::models {
namespace {

// Makes the matrix that holds a module's weight a copy of its own.
void Detach(DecoderWeights& weights,
            const DecoderWeights& original,
            const DecomposedModule& module) {
  const auto own = [](at::Tensor& mine, const at::Tensor& theirs) {
    if (mine.is_same(theirs)) mine = theirs.clone();
  };
  if (module.site == ModuleSite::kEmbedding) {
    own(weights.token_embedding, original.token_embedding);
    return;
  }
  LayerWeights& mine = weights.layers[module.layer];
  const LayerWeights& theirs = original.layers[module.layer];
  switch (InputStreamOf(module.site)) {
    case InputStream::kAttentionInput:
      return own(mine.attention.qkv, theirs.attention.qkv);
    case InputStream::kMixedValues:
      return own(mine.attention.o, theirs.attention.o);
    case InputStream::kMlpInput:
      return own(mine.mlp.up, theirs.mlp.up);
    case InputStream::kHidden:
      return own(mine.mlp.down, theirs.mlp.down);
    case InputStream::kTokens:
      break;
  }
}

}  // namespace

Decoder RecomposedDecoder(DecomposedDecoder& decomposed,
                          const std::vector<ComponentMasks>& masks) {
  const Decoder& decoder = decomposed.decoder();
  Decoder recomposed = decoder;
  for (size_t m = 0; m < masks.size(); ++m) {
    if (masks[m].IsTarget()) continue;
    const DecomposedModule& module = decomposed.modules()[m].module;
    Detach(recomposed.weights, decoder.weights, module);
    EngineWeight(decoder.spec, recomposed.weights, module)
        .copy_(MaskedModule(decomposed, static_cast<int>(m), masks[m])
                   .Recompose());
  }
  return recomposed;
}

}  // namespace spar::models
