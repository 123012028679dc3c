#include "tests/attribution/plain_run.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include <ATen/ops/eye.h>
#include <ATen/ops/zeros_like.h>

#include "models/torch/aten.h"
#include "models/torch/dense_weights.h"

namespace spar::models {
namespace {

class PlainDecoder {
 public:
  PlainDecoder(std::shared_ptr<const Snapshot> snapshot,
               const std::vector<PlainFactors>& factors,
               const std::vector<PlainMasks>& masks,
               NormGradient norm,
               const std::vector<at::Tensor>& held)
      : weights_(std::move(snapshot)),
        spec_(weights_.spec()),
        factors_(factors),
        masks_(masks),
        held_(held),
        frozen_(norm == NormGradient::kFrozen) {}

  PlainRun Run(std::span<const TokenId> tokens) {
    length_ = static_cast<int64_t>(tokens.size());
    at::Tensor x = Embed(tokens);
    for (int l = 0; l < spec_.num_layers; ++l) {
      const LayerSpec& layer = spec_.layers[l];
      const at::Tensor attention = Attention(l, Norm(layer.attention_norm, x));
      const at::Tensor middle = x + attention;
      const at::Tensor mlp_in = spec_.parallel_residual ? x : middle;
      x = middle + Mlp(l, Norm(layer.mlp_norm, mlp_in));
    }
    run_.logits = Linear(spec_.unembedding, Norm(spec_.final_norm, x));
    return std::move(run_);
  }

 private:
  // A node of its own, with the same value.
  at::Tensor Cut(SitePart part,
                 int layer,
                 NodeKind kind,
                 const at::Tensor& value) {
    at::Tensor leaf = held_.empty() ? value.detach().clone()
                                    : held_[run_.sources.size()].detach();
    leaf.requires_grad_(true);
    run_.sources.push_back(
        {.part = part, .layer = layer, .kind = kind, .leaf = leaf});
    return leaf;
  }
  at::Tensor CutVector(SitePart part,
                       int layer,
                       NodeKind kind,
                       const at::Tensor& value) {
    return Cut(part, layer, kind, value.unsqueeze(1)).squeeze(1);
  }

  at::Tensor Linear(const Affine& affine, const at::Tensor& x) {
    const at::Tensor y = x.matmul(weights_.Read(affine.weight).t());
    return affine.bias.present() ? y + weights_.Read(affine.bias) : y;
  }

  at::Tensor Norm(const Affine& affine, const at::Tensor& x) {
    const at::Tensor c =
        spec_.norm == NormKind::kLayerNorm ? x - x.mean(1, true) : x;
    at::Tensor root = ((c * c).mean(1, true) + spec_.norm_epsilon).sqrt();
    if (frozen_) root = root.detach();
    const at::Tensor y = c / root * weights_.Read(affine.weight);
    return affine.bias.present() ? y + weights_.Read(affine.bias) : y;
  }

  int Find(SitePart part, int layer) const {
    for (size_t i = 0; i < factors_.size(); ++i) {
      if (factors_[i].part == part && factors_[i].layer == layer) {
        return static_cast<int>(i);
      }
    }
    return -1;
  }

  // activations [T, C] and what the whole matrix would write, both of them
  // differentiable. Returns mask * a U + mask * Delta from cut nodes.
  at::Tensor Nodes(int index, const at::Tensor& a, const at::Tensor& whole) {
    const auto& [part, layer, v, u] = factors_[index];
    run_.targets.push_back({part, layer, a});
    const at::Tensor node = Cut(part, layer, NodeKind::kSubcomponent, a);
    at::Tensor written = node;
    at::Tensor delta = whole - a.matmul(u);
    if (!masks_.empty()) {
      written = node * masks_[index].components;
      delta = delta * masks_[index].delta.unsqueeze(1);
    }
    return written.matmul(u) + CutVector(part, layer, NodeKind::kDelta, delta);
  }

  // One matrix [out, in] with its bias, cut into nodes.
  at::Tensor Matrix(SitePart part,
                    int layer,
                    const at::Tensor& weight,
                    const at::Tensor& bias,
                    const at::Tensor& x) {
    const at::Tensor whole = x.matmul(weight.t());
    at::Tensor y;
    if (factors_.empty()) {
      y = whole;
    } else if (const int index = Find(part, layer); index >= 0) {
      y = Nodes(index, x.matmul(factors_[index].v.t()), whole);
    } else {
      y = CutVector(part, layer, NodeKind::kDelta, whole);
    }
    if (!bias.defined()) return y;
    const bool is_node =
        !factors_.empty() || part == SitePart::kO || part == SitePart::kDown;
    const at::Tensor rows = bias.unsqueeze(0).expand({length_, -1});
    return y + (is_node ? CutVector(part, layer, NodeKind::kBias, rows) : rows);
  }
  at::Tensor Matrix(SitePart part,
                    int layer,
                    const Affine& affine,
                    const at::Tensor& x) {
    return Matrix(
        part, layer, weights_.Read(affine.weight),
        affine.bias.present() ? weights_.Read(affine.bias) : at::Tensor(), x);
  }

  at::Tensor Embed(std::span<const TokenId> tokens) {
    at::Tensor x = weights_.ReadRows(spec_.token_embedding, tokens);
    const int index = Find(SitePart::kEmbedding, -1);
    at::Tensor components;
    if (index >= 0) {
      const std::vector<int64_t> ids(tokens.begin(), tokens.end());
      const at::Tensor a =
          factors_[index].v.t().index_select(0, at::tensor(ids, at::kLong));
      const at::Tensor whole = x;
      const at::Tensor node =
          Cut(SitePart::kEmbedding, -1, NodeKind::kSubcomponent, a);
      at::Tensor written = node;
      at::Tensor delta = whole - a.matmul(factors_[index].u);
      if (!masks_.empty()) {
        written = node * masks_[index].components;
        delta = delta * masks_[index].delta.unsqueeze(1);
      }
      components = written.matmul(factors_[index].u);
      x = delta;
    }
    if (spec_.positions == PositionKind::kLearned) {
      std::vector<int32_t> positions;
      for (int32_t i = 0; i < length_; ++i) positions.push_back(i);
      x = x + weights_.ReadRows(spec_.position_embedding, positions);
    }
    x = CutVector(SitePart::kEmbedding, -1, NodeKind::kEmbedding, x);
    return components.defined() ? x + components : x;
  }

  struct Projected {
    at::Tensor q = {}, k = {}, v = {};
  };

  Projected Project(int l, const at::Tensor& x) {
    const LayerSpec& layer = spec_.layers[l];
    if (Find(SitePart::kQkv, l) < 0) {
      return {Matrix(SitePart::kQ, l, layer.q, x),
              Matrix(SitePart::kK, l, layer.k, x),
              Matrix(SitePart::kV, l, layer.v, x)};
    }
    // Put the parts of the fused tensor back as the checkpoint has them:
    // [group][part][rest].
    const int64_t groups = layer.q.weight.groups;
    const auto fuse = [&](const auto& ref_of) {
      std::vector<at::Tensor> parts;
      for (const Affine* affine : {&layer.q, &layer.k, &layer.v}) {
        at::Tensor rows = weights_.Read(ref_of(*affine));
        parts.push_back(
            rows.reshape({groups, -1, rows.numel() / rows.size(0)}));
      }
      return at::stack(parts, 1).flatten(0, 2);
    };
    const at::Tensor weight = fuse([](const Affine& a) { return a.weight; });
    const at::Tensor bias =
        layer.q.bias.present()
            ? fuse([](const Affine& a) { return a.bias; }).squeeze(1)
            : at::Tensor();
    const at::Tensor y = Matrix(SitePart::kQkv, l, weight, bias, x);
    const auto part = [&](const Affine& affine) {
      return y.reshape({length_, groups, 3, -1})
          .select(2, affine.weight.part)
          .flatten(1);
    };
    return {part(layer.q), part(layer.k), part(layer.v)};
  }

  double Frequency(int j) const {
    const Rotary& rotary = spec_.rotary;
    const double plain = std::pow(rotary.theta, -2.0 * j / rotary.dim);
    if (rotary.scaling == RopeScalingKind::kNone) return plain;
    if (rotary.scaling == RopeScalingKind::kLinear)
      return plain / rotary.factor;
    const double wave = 2 * std::numbers::pi / plain;
    const double turns = rotary.original_context / wave;
    if (turns > rotary.high_frequency_factor) return plain;
    if (turns < rotary.low_frequency_factor) return plain / rotary.factor;
    const double share =
        (turns - rotary.low_frequency_factor) /
        (rotary.high_frequency_factor - rotary.low_frequency_factor);
    return plain * (share + (1 - share) / rotary.factor);
  }

  // One head, [T, e], by a [e, e] matrix for every position.
  at::Tensor Rotate(const at::Tensor& head) const {
    if (spec_.positions != PositionKind::kRotary) return head;
    std::vector<at::Tensor> turned;
    for (int64_t t = 0; t < length_; ++t) {
      at::Tensor matrix =
          at::eye(spec_.head_dim, at::TensorOptions().dtype(at::kDouble));
      for (int j = 0; j < spec_.rotary.dim / 2; ++j) {
        const bool adjacent = spec_.rotary.adjacent_pairs;
        const int64_t a = adjacent ? 2 * j : j;
        const int64_t b = adjacent ? a + 1 : j + spec_.rotary.dim / 2;
        const double angle = static_cast<double>(t) * Frequency(j);
        matrix[a][a] = std::cos(angle);
        matrix[a][b] = -std::sin(angle);
        matrix[b][a] = std::sin(angle);
        matrix[b][b] = std::cos(angle);
      }
      turned.push_back(matrix.matmul(head[t]));
    }
    return at::stack(turned);
  }

  at::Tensor Mask(int window) const {
    at::Tensor mask =
        at::zeros({length_, length_}, at::TensorOptions().dtype(at::kDouble));
    for (int64_t q = 0; q < length_; ++q) {
      for (int64_t k = 0; k < length_; ++k) {
        if (k > q || (window > 0 && k <= q - window)) {
          mask[q][k] = -std::numeric_limits<double>::infinity();
        }
      }
    }
    return mask;
  }

  at::Tensor Attention(int l, const at::Tensor& x) {
    const LayerSpec& layer = spec_.layers[l];
    const Projected projected = Project(l, x);
    const int64_t dim = spec_.head_dim;
    const int group = spec_.num_heads / spec_.num_kv_heads;
    std::vector<at::Tensor> mixed;
    for (int h = 0; h < spec_.num_heads; ++h) {
      const at::Tensor q = Rotate(projected.q.narrow(1, h * dim, dim));
      const at::Tensor k = Rotate(projected.k.narrow(1, h / group * dim, dim));
      const at::Tensor v = projected.v.narrow(1, h / group * dim, dim);
      at::Tensor pattern =
          (q.matmul(k.t()) * layer.attention_scale + Mask(layer.sliding_window))
              .softmax(1);
      // A head is moved through its values, its pattern held still.
      if (factors_.empty()) pattern = pattern.detach();
      mixed.push_back(pattern.matmul(v));
    }
    if (!factors_.empty()) {
      return Matrix(SitePart::kO, l, layer.o, at::cat(mixed, 1));
    }
    return Heads(l, mixed);
  }

  at::Tensor Heads(int l, const std::vector<at::Tensor>& mixed) {
    const LayerSpec& layer = spec_.layers[l];
    const at::Tensor o = weights_.Read(layer.o.weight);
    std::vector<at::Tensor> outputs;
    for (size_t h = 0; h < mixed.size(); ++h) {
      const int64_t dim = spec_.head_dim;
      outputs.push_back(
          mixed[h].matmul(o.narrow(1, static_cast<int64_t>(h) * dim, dim).t()));
    }
    const at::Tensor all = at::stack(outputs, 1);  // [T, H, d]
    const at::Tensor still = all.detach();
    const at::Tensor lengths = (still * still).sum(2, true).sqrt();
    run_.targets.push_back(
        {SitePart::kHeads, l, (all * still / lengths).sum(2)});
    const at::Tensor written =
        Cut(SitePart::kHeads, l, NodeKind::kHead, all).sum(1);
    return AddBias(SitePart::kO, l, layer.o, written);
  }

  at::Tensor AddBias(SitePart part,
                     int l,
                     const Affine& affine,
                     const at::Tensor& y) {
    if (!affine.bias.present()) return y;
    return y +
           CutVector(
               part, l, NodeKind::kBias,
               weights_.Read(affine.bias).unsqueeze(0).expand({length_, -1}));
  }

  at::Tensor Activate(const at::Tensor& x) const {
    switch (spec_.activation) {
      case Activation::kGeluTanh:
        return 0.5 * x *
               (1 +
                (std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x))
                    .tanh());
      case Activation::kGeluErf:
        return 0.5 * x * (1 + (x / std::numbers::sqrt2).erf());
      case Activation::kSilu:
        return x / (1 + (-x).exp());
      case Activation::kRelu:
        break;
    }
    return x * (x > 0);
  }

  at::Tensor Mlp(int l, const at::Tensor& x) {
    const LayerSpec& layer = spec_.layers[l];
    at::Tensor neurons;
    if (spec_.gated_mlp) {
      const at::Tensor gate = Matrix(SitePart::kGate, l, layer.gate, x);
      neurons = Activate(gate) * Matrix(SitePart::kUp, l, layer.up, x);
    } else {
      neurons = Activate(Matrix(SitePart::kUp, l, layer.up, x));
    }
    if (!factors_.empty()) {
      return Matrix(SitePart::kDown, l, layer.down, neurons);
    }
    run_.targets.push_back({SitePart::kNeurons, l, neurons});
    const at::Tensor node =
        Cut(SitePart::kNeurons, l, NodeKind::kNeuron, neurons);
    return AddBias(SitePart::kDown, l, layer.down,
                   node.matmul(weights_.Read(layer.down.weight).t()));
  }

  DenseWeights weights_;
  const DecoderSpec& spec_;
  const std::vector<PlainFactors>& factors_;
  const std::vector<PlainMasks>& masks_;
  const std::vector<at::Tensor>& held_;
  const bool frozen_;
  int64_t length_ = 0;
  PlainRun run_;
};

}  // namespace

PlainRun RunPlainly(std::shared_ptr<const Snapshot> snapshot,
                    std::span<const TokenId> tokens,
                    const std::vector<PlainFactors>& factors,
                    const std::vector<PlainMasks>& masks,
                    NormGradient norm,
                    const std::vector<at::Tensor>& held) {
  return PlainDecoder(std::move(snapshot), factors, masks, norm, held)
      .Run(tokens);
}

std::vector<at::Tensor> PlainEdges(const PlainRun& run,
                                   const at::Tensor& target) {
  std::vector<at::Tensor> leaves;
  for (const PlainSource& source : run.sources) {
    leaves.push_back(source.leaf);
    leaves.back().mutable_grad() = at::Tensor();
  }
  target.backward({}, /*retain_graph=*/true);
  std::vector<at::Tensor> edges;
  for (const PlainSource& source : run.sources) {
    const at::Tensor gradient = source.leaf.grad();
    at::Tensor value = gradient.defined() ? gradient * source.leaf.detach()
                                          : at::zeros_like(source.leaf);
    if (source.is_vector()) value = value.sum(2);
    edges.push_back(value.detach());
  }
  return edges;
}

}  // namespace spar::models
