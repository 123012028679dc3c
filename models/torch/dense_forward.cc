// L1t. The checker's transformer, written as a textbook has it.
//
// x: [position][width]. Every formula is spelled out in float64 operations, and
// none of it is shared with the engine.
#include "models/torch/dense_forward.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

at::Tensor NewMatrix(int64_t rows, int64_t columns) {
  return at::empty({rows, columns}, at::TensorOptions().dtype(at::kDouble));
}

at::Tensor Linear(DenseWeights& weights,
                  const Affine& affine,
                  const at::Tensor& x,
                  const DenseHooks& hooks) {
  at::Tensor y;
  if (hooks.on_product) y = hooks.on_product(affine.weight, x);
  if (!y.defined()) y = x.matmul(weights.Read(affine.weight).t());
  return affine.bias.present() ? y + weights.Read(affine.bias) : y;
}

at::Tensor Norm(DenseWeights& weights,
                const Affine& affine,
                const at::Tensor& x) {
  const DecoderSpec& spec = weights.spec();
  const at::Tensor centred =
      spec.norm == NormKind::kLayerNorm ? x - x.mean(-1, true) : x;
  const at::Tensor mean_square = (centred * centred).mean(-1, true);
  at::Tensor y = centred / (mean_square + spec.norm_epsilon).sqrt() *
                 weights.Read(affine.weight);
  return affine.bias.present() ? y + weights.Read(affine.bias) : y;
}

double Activate(Activation kind, double x) {
  switch (kind) {
    case Activation::kGeluTanh:
      return 0.5 * x *
             (1 + std::tanh(std::sqrt(2 / std::numbers::pi) *
                            (x + 0.044715 * x * x * x)));
    case Activation::kGeluErf:
      return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2));
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kRelu:
      return x > 0 ? x : 0;
  }
  return x;
}

at::Tensor Activate(Activation kind, const at::Tensor& x) {
  at::Tensor y = x.clone(at::MemoryFormat::Contiguous);
  double* values = y.mutable_data_ptr<double>();
  for (int64_t i = 0; i < y.numel(); ++i) values[i] = Activate(kind, values[i]);
  return y;
}

// Radians per position of rotating pair j.
double Frequency(const Rotary& rotary, int j) {
  const double plain = std::pow(rotary.theta, -2.0 * j / rotary.dim);
  if (rotary.scaling == RopeScalingKind::kLinear) return plain / rotary.factor;
  if (rotary.scaling == RopeScalingKind::kNone) return plain;
  // Llama 3: long waves are stretched, short ones kept, those between mixed.
  const double wave = 2 * std::numbers::pi / plain;
  const double context = rotary.original_context;
  if (wave < context / rotary.high_frequency_factor) return plain;
  if (wave > context / rotary.low_frequency_factor) {
    return plain / rotary.factor;
  }
  const double share =
      (context / wave - rotary.low_frequency_factor) /
      (rotary.high_frequency_factor - rotary.low_frequency_factor);
  return (1 - share) * plain / rotary.factor + share * plain;
}

// How far each pair turns at each position, [position][pair]; empty without
// rotary positions.
struct Turn {
  double cos = 1;
  double sin = 0;
};

std::vector<Turn> Turns(const DecoderSpec& spec, int length) {
  std::vector<Turn> turns;
  if (spec.positions != PositionKind::kRotary) return turns;
  for (int position = 0; position < length; ++position) {
    for (int j = 0; j < spec.rotary.dim / 2; ++j) {
      const double angle = position * Frequency(spec.rotary, j);
      turns.push_back(Turn{.cos = std::cos(angle), .sin = std::sin(angle)});
    }
  }
  return turns;
}

// One head's queries or keys, [position][head_dim], turned.
at::Tensor Rotate(const Rotary& rotary,
                  const std::vector<Turn>& turns,
                  const at::Tensor& head) {
  if (turns.empty()) return head;
  at::Tensor turned = head.clone(at::MemoryFormat::Contiguous);
  double* row = turned.mutable_data_ptr<double>();
  const int half = rotary.dim / 2;
  for (int64_t position = 0; position < turned.size(0); ++position) {
    for (int j = 0; j < half; ++j) {
      double& first = row[rotary.adjacent_pairs ? 2 * j : j];
      double& second = row[rotary.adjacent_pairs ? 2 * j + 1 : j + half];
      const auto [cos, sin] = turns[position * half + j];
      const double a = first;
      const double b = second;
      first = a * cos - b * sin;
      second = b * cos + a * sin;
    }
    row += turned.size(1);
  }
  return turned;
}

// 0 where a query may read a key, else minus infinity. [query][key]. A removed
// query may read itself, so that its row stays finite; nothing reads that row.
at::Tensor AttentionMask(const IndexSet& kept, int window) {
  const int length = kept.universe();
  at::Tensor mask = NewMatrix(length, length);
  double* to = mask.mutable_data_ptr<double>();
  for (int query = 0; query < length; ++query) {
    for (int key = 0; key < length; ++key) {
      const bool near = window == 0 || key > query - window;
      const bool seen = kept.Contains(key) || key == query;
      *to++ = key <= query && near && seen
                  ? 0
                  : -std::numeric_limits<double>::infinity();
    }
  }
  return mask;
}

at::Tensor Attention(DenseWeights& weights,
                     const LayerSpec& layer,
                     const at::Tensor& x,
                     const IndexSet& kept,
                     const DenseHooks& hooks) {
  const DecoderSpec& spec = weights.spec();
  const std::vector<Turn> turns = Turns(spec, kept.universe());
  const at::Tensor q = Linear(weights, layer.q, x, hooks);
  const at::Tensor k = Linear(weights, layer.k, x, hooks);
  const at::Tensor v = Linear(weights, layer.v, x, hooks);
  const at::Tensor mask = AttentionMask(kept, layer.sliding_window);
  const int64_t dim = spec.head_dim;
  const int heads_per_kv = spec.num_heads / spec.num_kv_heads;
  std::vector<at::Tensor> mixed;
  for (int head = 0; head < spec.num_heads; ++head) {
    const int64_t kv = head / heads_per_kv;
    const at::Tensor query =
        Rotate(spec.rotary, turns, q.narrow(1, head * dim, dim));
    const at::Tensor key =
        Rotate(spec.rotary, turns, k.narrow(1, kv * dim, dim));
    const at::Tensor scores =
        query.matmul(key.t()) * layer.attention_scale + mask;
    mixed.push_back(scores.softmax(-1).matmul(v.narrow(1, kv * dim, dim)));
  }
  return at::cat(mixed, 1);
}

at::Tensor Neurons(DenseWeights& weights,
                   const LayerSpec& layer,
                   const at::Tensor& x,
                   const DenseHooks& hooks) {
  const DecoderSpec& spec = weights.spec();
  const at::Tensor up = Linear(weights, layer.up, x, hooks);
  if (!spec.gated_mlp) return Activate(spec.activation, up);
  return Activate(spec.activation, Linear(weights, layer.gate, x, hooks)) * up;
}

at::Tensor Embed(DenseWeights& weights,
                 std::span<const TokenId> ids,
                 const DenseHooks& hooks) {
  const DecoderSpec& spec = weights.spec();
  at::Tensor x = weights.ReadRows(spec.token_embedding, ids);
  if (hooks.on_embedding) x = hooks.on_embedding(x);
  if (spec.positions != PositionKind::kLearned) return x;
  std::vector<int32_t> positions;
  for (size_t i = 0; i < ids.size(); ++i) {
    positions.push_back(static_cast<int32_t>(i));
  }
  return x + weights.ReadRows(spec.position_embedding, positions);
}

}  // namespace

at::Tensor DenseLogits(DenseWeights& weights,
                       std::span<const TokenId> ids,
                       const IndexSet& kept,
                       const DenseHooks& hooks) {
  const DecoderSpec& spec = weights.spec();
  at::Tensor x = Embed(weights, ids, hooks);
  for (int i = 0; i < spec.num_layers; ++i) {
    const LayerSpec& layer = spec.layers[i];
    const at::Tensor attention_in = Norm(weights, layer.attention_norm, x);
    at::Tensor heads = Attention(weights, layer, attention_in, kept, hooks);
    if (hooks.on_heads) heads = hooks.on_heads(i, heads);
    const at::Tensor attention_out = Linear(weights, layer.o, heads, hooks);
    const at::Tensor middle = x + attention_out;
    const at::Tensor mlp_in =
        Norm(weights, layer.mlp_norm, spec.parallel_residual ? x : middle);
    at::Tensor neurons = Neurons(weights, layer, mlp_in, hooks);
    if (hooks.on_neurons) neurons = hooks.on_neurons(i, neurons);
    x = middle + Linear(weights, layer.down, neurons, hooks);
  }
  const at::Tensor last = x.narrow(0, x.size(0) - 1, 1);
  return Linear(weights, spec.unembedding, Norm(weights, spec.final_norm, last),
                DenseHooks())
      .reshape({-1});
}

}  // namespace spar::models
