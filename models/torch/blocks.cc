#include "models/torch/blocks.h"

#include <algorithm>
#include <numeric>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

// Attention of one run. q: [nodes * queries, heads, head_dim] with `queries`
// per node, either all or the last; k, v: [nodes * length, heads, head_dim].
at::Tensor AttendRun(const Run& run,
                     const at::Tensor& q,
                     const at::Tensor& k,
                     const at::Tensor& v,
                     at::Tensor visible,
                     double scale) {
  if (run.length == 1) return v.flatten(1);  // the one key has all the weight
  const int64_t queries = q.size(0) / run.count;
  const bool last_only = queries == 1;
  if (visible.defined() && last_only) {
    visible = visible.narrow(2, run.length - 1, 1);
  }
  const auto by_head = [&](const at::Tensor& x) {  // [nodes, heads, n, dim]
    return x.unflatten(0, {run.count, -1}).transpose(1, 2);
  };
  const at::Tensor mixed = at::scaled_dot_product_attention(
      by_head(q), by_head(k), by_head(v),
      visible.defined() ? std::optional<at::Tensor>(visible) : std::nullopt,
      /*dropout_p=*/0.0,
      /*is_causal=*/!visible.defined() && !last_only, scale);
  return mixed.transpose(1, 2).reshape({run.count * queries, -1});
}

std::optional<at::Tensor> Optional(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional<at::Tensor>(tensor) : std::nullopt;
}

}  // namespace

at::Tensor VisibleKeys(SequenceBatch& batch,
                       const Nodes& nodes,
                       const Run& run,
                       int window) {
  std::vector<at::Tensor> visible;
  bool plain = true;
  for (int node = run.first; node < run.first + run.count; ++node) {
    visible.push_back(batch.Visible(nodes.sequence[node], window));
    plain = plain && !visible.back().defined();
  }
  if (plain) return {};
  const at::Tensor causal =
      at::ones({run.length, run.length},
               at::dtype(at::kBool).device(batch.ids().device()))
          .tril();
  for (at::Tensor& keys : visible) {
    if (!keys.defined()) keys = causal;
  }
  return at::stack(visible).unsqueeze(1);
}

at::Tensor ActivationOf(Activation kind, at::Tensor x) {
  const bool in_place = !at::GradMode::is_enabled() && x.is_contiguous();
  switch (kind) {
    case Activation::kGeluTanh:
      return in_place ? at::gelu_(x, "tanh") : at::gelu(x, "tanh");
    case Activation::kGeluErf:
      return in_place ? at::gelu_(x) : at::gelu(x);
    case Activation::kSilu:
      return in_place ? at::silu_(x) : at::silu(x);
    case Activation::kRelu:
      break;
  }
  return in_place ? at::relu_(x) : at::relu(x);
}

Nodes OneNodePerSequence(const SequenceBatch& batch) {
  Nodes nodes;
  nodes.sequence.resize(batch.sequences().size());
  std::iota(nodes.sequence.begin(), nodes.sequence.end(), 0);
  nodes.runs = batch.runs();
  nodes.rotation = batch.rotation();
  nodes.last_tokens = batch.last_tokens();
  return nodes;
}

at::Tensor Embed(const Decoder& decoder, const SequenceBatch& batch) {
  const DecoderWeights& weights = decoder.weights;
  at::Tensor x = weights.token_embedding.index_select(0, batch.tokens());
  if (weights.position_embedding.defined()) {
    x = x + weights.position_embedding.index_select(0, batch.ids());
  }
  return x;
}

at::Tensor Normalize(const Decoder& decoder,
                     const NormWeights& norm,
                     const at::Tensor& x) {
  const double epsilon = decoder.spec.norm_epsilon;
  if (decoder.spec.norm == NormKind::kLayerNorm) {
    return at::layer_norm(x, {x.size(-1)}, Optional(norm.gain),
                          Optional(norm.bias), epsilon);
  }
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor squares = (wide * wide).mean(-1, /*keepdim=*/true);
  if (at::GradMode::is_enabled()) {
    return (wide * (squares + epsilon).rsqrt()).to(x.scalar_type()) * norm.gain;
  }
  const at::Tensor scaled = wide * squares.add_(epsilon).rsqrt_();
  return scaled.to(x.scalar_type()).mul_(norm.gain);
}

void RotateHeads(const at::Tensor& heads, const at::Tensor& rotation, int dim) {
  const at::Tensor pairs = heads.narrow(2, 0, dim).unflatten(2, {-1, 2});
  const at::Tensor angles = rotation.unsqueeze(1);
  const bool even = heads.stride(0) % 2 == 0 && heads.stride(1) % 2 == 0 &&
                    heads.storage_offset() % 2 == 0;
  if (heads.scalar_type() == at::kFloat && even) {
    at::view_as_complex(pairs).mul_(angles);
    return;
  }
  const at::Tensor copy = pairs.to(at::kFloat).contiguous();
  pairs.copy_(at::view_as_real(at::view_as_complex(copy) * angles));
}

at::Tensor Attend(const Decoder& decoder,
                  int layer,
                  const AttentionWeights& attention,
                  SequenceBatch& batch,
                  const Nodes& nodes,
                  const at::Tensor& q,
                  const at::Tensor& kv,
                  bool last_only) {
  const LayerSpec& spec = decoder.spec.layers[layer];
  at::Tensor k = kv.narrow(1, 0, attention.kv_heads);
  at::Tensor v = kv.narrow(1, attention.kv_heads, attention.kv_heads);
  if (attention.kv_of_head.defined()) {
    k = k.index_select(1, attention.kv_of_head);
    v = v.index_select(1, attention.kv_of_head);
  }
  std::vector<at::Tensor> mixed;
  for (const Run& run : nodes.runs) {
    const at::Tensor run_q = last_only
                                 ? q.narrow(0, run.first, run.count)
                                 : q.narrow(0, run.first_token, run.tokens());
    mixed.push_back(
        AttendRun(run, run_q, k.narrow(0, run.first_token, run.tokens()),
                  v.narrow(0, run.first_token, run.tokens()),
                  VisibleKeys(batch, nodes, run, spec.sliding_window),
                  spec.attention_scale));
  }
  return mixed.size() == 1 ? mixed[0] : at::cat(mixed);
}

HeadInputs ProjectHeads(const Decoder& decoder,
                        const AttentionWeights& attention,
                        const Nodes& nodes,
                        const at::Tensor& normed,
                        bool last_only) {
  const int64_t dim = decoder.spec.head_dim;
  const int heads = attention.heads;
  const int kv_heads = attention.kv_heads;
  const auto project = [&](const at::Tensor& x, int first, int count) {
    const int64_t begin = first * dim, size = count * dim;
    const at::Tensor& bias = attention.qkv_bias;
    return at::linear(x, attention.qkv.narrow(0, begin, size),
                      bias.defined() ? Optional(bias.narrow(0, begin, size))
                                     : std::nullopt)
        .unflatten(1, {count, dim});
  };
  at::Tensor q, kv;  // kv: [tokens, 2 kv_heads, head_dim]
  const int rotary_dim = nodes.rotation.defined() ? decoder.spec.rotary.dim : 0;
  if (last_only) {
    q = project(normed.index_select(0, nodes.last_tokens), 0, heads);
    kv = project(normed, heads, 2 * kv_heads);
    if (rotary_dim > 0) {
      RotateHeads(q, nodes.rotation.index_select(0, nodes.last_tokens),
                  rotary_dim);
      RotateHeads(kv.narrow(1, 0, kv_heads), nodes.rotation, rotary_dim);
    }
  } else {
    const at::Tensor qkv = project(normed, 0, heads + 2 * kv_heads);
    if (rotary_dim > 0) {
      RotateHeads(qkv.narrow(1, 0, heads + kv_heads), nodes.rotation,
                  rotary_dim);
    }
    q = qkv.narrow(1, 0, heads);
    kv = qkv.narrow(1, heads, 2 * kv_heads);
  }
  return {.q = q, .kv = kv};
}

// One token has all the weight of its own attention: the values alone matter.
static at::Tensor OneKeyValues(const Decoder& decoder,
                               const AttentionWeights& attention,
                               const at::Tensor& normed) {
  const int64_t dim = decoder.spec.head_dim;
  const int64_t begin = (attention.heads + attention.kv_heads) * dim;
  const int64_t size = attention.kv_heads * dim;
  const at::Tensor& bias = attention.qkv_bias;
  const at::Tensor v = at::linear(
      normed, attention.qkv.narrow(0, begin, size),
      bias.defined() ? Optional(bias.narrow(0, begin, size)) : std::nullopt);
  if (!attention.kv_of_head.defined()) return v;
  return v.unflatten(1, {attention.kv_heads, dim})
      .index_select(1, attention.kv_of_head)
      .flatten(1);
}

at::Tensor MixValues(const Decoder& decoder,
                     int layer,
                     const AttentionWeights& attention,
                     SequenceBatch& batch,
                     const Nodes& nodes,
                     const at::Tensor& normed,
                     bool last_only) {
  if (nodes.runs.size() == 1 && nodes.runs[0].length == 1) {
    return OneKeyValues(decoder, attention, normed);
  }
  const HeadInputs inputs =
      ProjectHeads(decoder, attention, nodes, normed, last_only);
  return Attend(decoder, layer, attention, batch, nodes, inputs.q, inputs.kv,
                last_only);
}

at::Tensor ActivateProjected(const Decoder& decoder, at::Tensor pre) {
  if (!decoder.spec.gated_mlp) {
    return ActivationOf(decoder.spec.activation, std::move(pre));
  }
  const int64_t neurons = pre.size(1) / 2;
  const at::Tensor gate = pre.narrow(1, 0, neurons);
  const at::Tensor up = pre.narrow(1, neurons, neurons);
  return ActivationOf(decoder.spec.activation, gate) * up;
}

at::Tensor Activate(const Decoder& decoder,
                    const MlpWeights& mlp,
                    const at::Tensor& normed) {
  return ActivateProjected(decoder,
                           at::linear(normed, mlp.up, Optional(mlp.up_bias)));
}

at::Tensor Logits(const Decoder& decoder, const at::Tensor& x) {
  const DecoderWeights& weights = decoder.weights;
  return at::linear(Normalize(decoder, weights.final_norm, x),
                    weights.unembedding, Optional(weights.unembedding_bias))
      .to(at::kFloat);
}

}  // namespace spar::models
