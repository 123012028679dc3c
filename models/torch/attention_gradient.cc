#include "models/torch/attention_gradient.h"

#include <algorithm>
#include <limits>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

// Attention weights of one product at most.
constexpr int64_t kMostWeights = int64_t{1} << 24;

// The scores of a run's queries before the softmax, as the forward had them.
struct RunInputs {
  at::Tensor q = {};  // [nodes, heads, queries, head_dim]
  at::Tensor k = {};  // [nodes, heads, length, head_dim]
  at::Tensor v = {};
  at::Tensor mixed = {};    // gradient, like q
  at::Tensor visible = {};  // bool, broadcasts to [nodes, heads, queries,
                            // length]; undefined: all
};

struct RunGradient {
  at::Tensor q = {}, k = {}, v = {};
};

// A = softmax(s q k^T), out = A v:
//   dv = A^T dout, dA = dout v^T, dz = A (dA - sum(A dA)), dq = s dz k,
//   dk = s dz^T q
RunGradient Differentiate(const RunInputs& in, double scale) {
  at::Tensor scores =
      at::matmul(in.q, in.k.transpose(2, 3)).to(at::kFloat).mul_(scale);
  if (in.visible.defined()) {
    scores.masked_fill_(in.visible.logical_not(),
                        -std::numeric_limits<double>::infinity());
  }
  const at::Tensor weights = scores.softmax(-1);
  const at::Tensor to_weights =
      at::matmul(in.mixed, in.v.transpose(2, 3)).to(at::kFloat);
  const at::Tensor mean = (weights * to_weights).sum({-1}, /*keepdim=*/true);
  const at::Tensor to_scores =
      (weights * (to_weights - mean) * scale).to(in.q.scalar_type());
  return {.q = at::matmul(to_scores, in.k),
          .k = at::matmul(to_scores.transpose(2, 3), in.q),
          .v = at::matmul(weights.to(in.q.scalar_type()).transpose(2, 3),
                          in.mixed)};
}

at::Tensor ByHead(const at::Tensor& x, int64_t nodes) {
  return x.unflatten(0, {nodes, -1}).transpose(1, 2);
}

at::Tensor ByToken(const std::vector<at::Tensor>& parts) {
  std::vector<at::Tensor> tokens;
  for (const at::Tensor& part : parts) {
    tokens.push_back(part.transpose(1, 2).flatten(0, 1));
  }
  return tokens.size() == 1 ? tokens[0] : at::cat(tokens);
}

class AttentionBackward {
 public:
  AttentionBackward(const Decoder& decoder,
                    int layer,
                    SequenceBatch& batch,
                    const Nodes& nodes,
                    bool last_only)
      : decoder_(decoder),
        spec_(decoder.spec.layers[layer]),
        weights_(decoder.weights.layers[layer].attention),
        batch_(batch),
        nodes_(nodes),
        last_only_(last_only) {}

  at::Tensor Take(const HeadInputs& inputs, const at::Tensor& mixed) {
    const int heads = weights_.heads;
    const int kv_heads = weights_.kv_heads;
    if (nodes_.runs.size() == 1 && nodes_.runs[0].length == 1) {
      return Weigh(OfKeyHeads(mixed), heads + kv_heads);
    }
    const at::Tensor k = OfHeads(inputs.kv.narrow(1, 0, kv_heads));
    const at::Tensor v = OfHeads(inputs.kv.narrow(1, kv_heads, kv_heads));
    for (const Run& run : nodes_.runs) {
      TakeRun(run, inputs.q, k, v, mixed);
    }
    at::Tensor dq = ByToken(q_).contiguous();
    const at::Tensor dk = OfKeyHeads(ByToken(k_)).contiguous();
    const at::Tensor dv = OfKeyHeads(ByToken(v_));
    if (nodes_.rotation.defined()) {
      const at::Tensor back = nodes_.rotation.conj().resolve_conj();
      const int dim = decoder_.spec.rotary.dim;
      RotateHeads(dq,
                  last_only_ ? back.index_select(0, nodes_.last_tokens) : back,
                  dim);
      RotateHeads(dk, back, dim);
    }
    const at::Tensor to_input = Weigh(at::cat({dk, dv}, 1), heads);
    const at::Tensor from_queries = Weigh(dq, 0);
    if (last_only_) {
      to_input.index_add_(0, nodes_.last_tokens, from_queries);
    } else {
      to_input.add_(from_queries);
    }
    return to_input;
  }

 private:
  // [tokens, n, head_dim] times the projection's rows from head `first` on.
  at::Tensor Weigh(const at::Tensor& heads, int first) const {
    const int64_t dim = decoder_.spec.head_dim;
    return at::mm(heads.flatten(1),
                  weights_.qkv.narrow(0, first * dim, heads.size(1) * dim));
  }
  at::Tensor OfHeads(const at::Tensor& of_key_heads) const {
    return weights_.kv_of_head.defined()
               ? of_key_heads.index_select(1, weights_.kv_of_head)
               : of_key_heads;
  }
  at::Tensor OfKeyHeads(const at::Tensor& of_heads) const {
    if (!weights_.kv_of_head.defined()) return of_heads;
    return at::zeros({of_heads.size(0), weights_.kv_heads, of_heads.size(2)},
                     of_heads.options())
        .index_add_(1, weights_.kv_of_head, of_heads);
  }

  void TakeRun(const Run& run,
               const at::Tensor& q,
               const at::Tensor& k,
               const at::Tensor& v,
               const at::Tensor& mixed) {
    const int64_t queries = last_only_ ? 1 : run.length;
    const int64_t first_query = last_only_ ? run.first : run.first_token;
    at::Tensor visible = VisibleKeys(batch_, nodes_, run, spec_.sliding_window);
    if (visible.defined() && last_only_) {
      visible = visible.narrow(2, run.length - 1, 1);
    }
    const at::Tensor causal =
        visible.defined() || last_only_
            ? at::Tensor()
            : at::ones({run.length, run.length},
                       at::dtype(at::kBool).device(decoder_.device))
                  .tril();
    const int64_t per_node = weights_.heads * queries * run.length;
    const int64_t chunk = std::max<int64_t>(1, kMostWeights / per_node);
    for (int64_t node = 0; node < run.count; node += chunk) {
      const int64_t count = std::min(chunk, run.count - node);
      const auto of_queries = [&](const at::Tensor& x) {
        return ByHead(
            x.narrow(0, first_query + node * queries, count * queries), count);
      };
      const auto of_keys = [&](const at::Tensor& x) {
        return ByHead(x.narrow(0, run.first_token + node * run.length,
                               count * run.length),
                      count);
      };
      const RunGradient gradient = Differentiate(
          {.q = of_queries(q),
           .k = of_keys(k),
           .v = of_keys(v),
           .mixed = of_queries(mixed),
           .visible =
               visible.defined() ? visible.narrow(0, node, count) : causal},
          spec_.attention_scale);
      q_.push_back(gradient.q);
      k_.push_back(gradient.k);
      v_.push_back(gradient.v);
    }
  }

  const Decoder& decoder_;
  const LayerSpec& spec_;
  const AttentionWeights& weights_;
  SequenceBatch& batch_;
  const Nodes& nodes_;
  const bool last_only_;
  std::vector<at::Tensor> q_, k_, v_;  // [nodes, heads, n, head_dim]
};

}  // namespace

at::Tensor AttentionGradient(const Decoder& decoder,
                             int layer,
                             SequenceBatch& batch,
                             const Nodes& nodes,
                             const HeadInputs& inputs,
                             const at::Tensor& mixed,
                             bool last_only) {
  return AttentionBackward(decoder, layer, batch, nodes, last_only)
      .Take(inputs, mixed);
}

}  // namespace spar::models
