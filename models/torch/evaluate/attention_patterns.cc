#include "models/torch/evaluate/attention_patterns.h"

#include <limits>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

// The logarithm of the pattern of some tokens, [heads, queries, keys];
// -infinity where a query does not see a key.
at::Tensor LogPattern(const Decoder& decoder,
                      int layer,
                      const at::Tensor& visible,
                      const LayerHeads& heads,
                      int64_t begin,
                      int64_t length) {
  const AttentionWeights& attention = decoder.weights.layers[layer].attention;
  const at::Tensor q = heads.q.narrow(0, begin, length);
  at::Tensor k = heads.k.narrow(0, begin, length);
  if (attention.kv_of_head.defined()) {
    k = k.index_select(1, attention.kv_of_head);
  }
  const at::Tensor scores = at::matmul(q.to(at::kFloat).permute({1, 0, 2}),
                                       k.to(at::kFloat).permute({1, 2, 0})) *
                            decoder.spec.layers[layer].attention_scale;
  return scores
      .masked_fill(visible.logical_not(),
                   -std::numeric_limits<double>::infinity())
      .log_softmax(-1);
}

}  // namespace

double PatternDivergence(const Decoder& decoder,
                         int layer,
                         SequenceBatch& batch,
                         const LayerHeads& clean,
                         const LayerHeads& masked) {
  const int window = decoder.spec.layers[layer].sliding_window;
  double sum = 0;
  int64_t begin = 0;
  for (size_t s = 0; s < batch.sequences().size(); ++s) {
    const int64_t length = batch.sequences()[s].length();
    at::Tensor visible = batch.Visible(static_cast<int>(s), window);
    if (!visible.defined()) {
      visible = at::ones({length, length},
                         at::dtype(at::kBool).device(decoder.device))
                    .tril();
    }
    const at::Tensor p =
        LogPattern(decoder, layer, visible, clean, begin, length);
    const at::Tensor q =
        LogPattern(decoder, layer, visible, masked, begin, length);
    // Unseen keys are 0 log 0.
    const at::Tensor terms =
        (p.exp() * (p - q)).masked_fill(visible.logical_not(), 0.0);
    sum += terms.sum(at::kDouble).item<double>();
    begin += length;
  }
  return sum;
}

}  // namespace spar::models
