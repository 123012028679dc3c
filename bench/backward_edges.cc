#include "bench/backward_edges.h"

#include <cmath>
#include <ctime>
#include <limits>

#include "base/status.h"
#include "models/torch/aten.h"
#include "models/torch/rotary.h"

namespace spar::bench {

using models::SitePart;

BackwardEdges::BackwardEdges(const models::Decoder& decoder,
                             std::span<const models::ModuleFactors> factors,
                             std::span<const models::TokenId> tokens,
                             std::span<const int32_t> logits,
                             const BackwardOptions& options)
    : decoder_(decoder),
      factors_(factors),
      options_(options),
      tokens_(static_cast<int64_t>(tokens.size())) {
  const models::DecoderSpec& spec = decoder.spec;
  const at::Tensor ids = at::arange(tokens_, at::dtype(at::kLong));
  const at::Tensor angles = models::RotaryAngles(spec.rotary, ids);
  cos_ = angles.cos().to(at::kFloat);
  sin_ = angles.sin().to(at::kFloat);
  const auto index = [](std::span<const int32_t> values) {
    return at::tensor(std::vector<int64_t>(values.begin(), values.end()),
                      at::dtype(at::kLong));
  };
  embedding_ = decoder.weights.token_embedding.index_select(0, index(tokens))
                   .unsqueeze(0)
                   .repeat({options.copies, 1, 1});
  embedding_.requires_grad_(true);
  at::Tensor x = embedding_;
  for (int l = 0; l < spec.num_layers; ++l) {
    const models::LayerWeights& layer = decoder.weights.layers[l];
    x = x + Attend(l, Normed(layer.attention_norm, x));
    const at::Tensor up =
        Write({SitePart::kUp, l}, Normed(layer.mlp_norm, x), layer.mlp.up.t());
    x = x + Write({SitePart::kDown, l}, at::gelu(up, "tanh"), layer.mlp.down);
  }
  logits_ =
      Normed(decoder.weights.final_norm, x.select(1, tokens_ - 1))
          .matmul(
              decoder.weights.unembedding.index_select(0, index(logits)).t());
}

at::Tensor BackwardEdges::Normed(const models::NormWeights& norm,
                                 const at::Tensor& x) const {
  const at::Tensor square = (x * x).mean(-1, /*keepdim=*/true);
  return x * (square + decoder_.spec.norm_epsilon).rsqrt() * norm.gain;
}

// weight: [in, out], columns as in the factors' u.
at::Tensor BackwardEdges::Write(const Site& site,
                                const at::Tensor& x,
                                at::Tensor weight) {
  const models::ModuleFactors* factors = nullptr;
  for (const models::ModuleFactors& of : factors_) {
    if (of.part == site.first && of.layer == site.second) factors = &of;
  }
  INVARIANT(factors != nullptr);
  const at::Tensor activation = x.matmul(factors->v.t());
  at::Tensor leaf = activation.detach().clone();
  leaf.requires_grad_(true);
  const at::Tensor delta = weight - factors->v.t().matmul(factors->u);
  at::Tensor beside = x.matmul(delta);
  if (options_.stop_delta) beside = beside.detach();
  cuts_[site] = {activation, leaf};
  return leaf.matmul(factors->u) + beside;
}

at::Tensor BackwardEdges::Rotate(const at::Tensor& heads) const {
  // [copies, H, T, e], rotating in halves as the checkpoint has them.
  const int64_t half = heads.size(3) / 2;
  const at::Tensor a = heads.narrow(3, 0, half);
  const at::Tensor b = heads.narrow(3, half, half);
  return at::cat({a * cos_ - b * sin_, b * cos_ + a * sin_}, 3);
}

at::Tensor BackwardEdges::Attend(int layer, const at::Tensor& x) {
  const models::DecoderSpec& spec = decoder_.spec;
  const models::AttentionWeights& weights =
      decoder_.weights.layers[layer].attention;
  const int64_t size = int64_t{spec.num_heads} * spec.head_dim;
  const auto heads = [&](SitePart part, int64_t begin) {
    return Write({part, layer}, x, weights.qkv.narrow(0, begin, size).t())
        .unflatten(2, {spec.num_heads, spec.head_dim})
        .transpose(1, 2);
  };
  const at::Tensor q = Rotate(heads(SitePart::kQ, 0));
  const at::Tensor k = Rotate(heads(SitePart::kK, size));
  const at::Tensor v = heads(SitePart::kV, 2 * size);
  const at::Tensor causal =
      at::ones({tokens_, tokens_}, at::dtype(at::kBool)).tril();
  const at::Tensor pattern =
      (q.matmul(k.transpose(2, 3)) * spec.layers[layer].attention_scale)
          .masked_fill(causal.logical_not(),
                       -std::numeric_limits<double>::infinity())
          .softmax(-1);
  const at::Tensor mixed = pattern.matmul(v).transpose(1, 2).flatten(2);
  return Write({SitePart::kO, layer}, mixed, weights.o);
}

std::vector<at::Tensor> BackwardEdges::Sources(const Site& site) const {
  const auto& [part, layer] = site;
  const auto leaf = [&](SitePart of, int l) { return cuts_.at({of, l}).leaf; };
  if (part == SitePart::kO) {
    return {leaf(SitePart::kQ, layer), leaf(SitePart::kK, layer),
            leaf(SitePart::kV, layer)};
  }
  if (part == SitePart::kDown) return {leaf(SitePart::kUp, layer)};
  const int end = part == SitePart::kLogits ? decoder_.spec.num_layers : layer;
  std::vector<at::Tensor> sources = {embedding_};
  for (int l = 0; l < end; ++l) {
    sources.push_back(leaf(SitePart::kO, l));
    sources.push_back(leaf(SitePart::kDown, l));
  }
  if (part == SitePart::kUp) sources.push_back(leaf(SitePart::kO, layer));
  return sources;
}

double BackwardEdges::Run(const Site& site,
                          std::span<const std::pair<int, int>> targets) {
  at::Tensor sum;
  for (size_t i = 0; i < targets.size(); ++i) {
    const auto& [position, index] = targets[i];
    const at::Tensor copy =
        (site.first == SitePart::kLogits ? logits_ : cuts_.at(site).activation)
            .select(0, static_cast<int64_t>(i));
    const at::Tensor one = site.first == SitePart::kLogits
                               ? copy.select(0, index)
                               : copy.select(0, position).select(0, index);
    sum = sum.defined() ? sum + one : one;
  }
  const std::vector<at::Tensor> sources = Sources(site);
  for (const at::Tensor& source : sources) {
    source.mutable_grad() = at::Tensor();
  }
  const double before = CpuSeconds();
  sum.backward({}, /*retain_graph=*/true, /*create_graph=*/false, sources);
  return CpuSeconds() - before;
}

double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) +
         static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace spar::bench
