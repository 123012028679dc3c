#include "models/torch/attribution/trace.h"

#include <limits>
#include <utility>

#include <ATen/ops/bmm.h>

#include "models/torch/aten.h"
#include "models/torch/attribution/activations.h"
#include "models/torch/rotary.h"
#include "models/torch/weights.h"

namespace spar::models {
namespace {

NormTrace TraceNorm(const Decoder& decoder,
                    const NormWeights& weights,
                    const at::Tensor& x) {
  NormTrace trace{.weights = &weights, .centred = x};
  if (decoder.spec.norm == NormKind::kLayerNorm) {
    trace.centred = x - x.mean(-1, /*keepdim=*/true);
  }
  trace.sigma =
      ((trace.centred * trace.centred).mean(-1) + decoder.spec.norm_epsilon)
          .sqrt();
  return trace;
}

at::Tensor Normed(const NormTrace& norm) {
  const at::ScalarType dtype = norm.centred.scalar_type();
  const at::Tensor normed =
      norm.centred / norm.sigma.unsqueeze(1) * norm.weights->gain.to(dtype);
  const at::Tensor& bias = norm.weights->bias;
  return bias.defined() ? normed + bias.to(dtype) : normed;
}

// The run in progress.
class Tracer {
 public:
  Tracer(const Decoder& decoder,
         std::span<const ModuleFactors> factors,
         std::span<const ModuleMasks> masks)
      : decoder_(decoder),
        spec_(decoder.spec),
        dtype_(decoder.dtype == at::kDouble ? at::kDouble : at::kFloat),
        modules_(factors, masks, dtype_) {
    trace_.decoder = &decoder;
    trace_.dtype = dtype_;
  }

  Trace Run(std::span<const TokenId> tokens) {
    trace_.tokens = static_cast<int>(tokens.size());
    Positions();
    at::Tensor x = Embed(tokens);
    trace_.embedding = x;
    trace_.layers.resize(spec_.num_layers);
    for (int layer = 0; layer < spec_.num_layers; ++layer) {
      const at::Tensor mixed = x + Attend(layer, x);
      x = mixed + Mlp(layer, spec_.parallel_residual ? x : mixed);
    }
    trace_.final_norm = TraceNorm(decoder_, decoder_.weights.final_norm, x);
    trace_.modules = modules_.Take();
    return std::move(trace_);
  }

 private:
  at::Tensor Wide(const at::Tensor& weight) const { return weight.to(dtype_); }

  // Row i of the tables is position i.
  void Positions() {
    ids_ = at::arange(trace_.tokens, at::dtype(at::kLong)).to(decoder_.device);
    if (spec_.positions != PositionKind::kRotary) return;
    const at::Tensor angles = RotaryAngles(spec_.rotary, ids_);
    trace_.cos = angles.cos().to(dtype_);
    trace_.sin = angles.sin().to(dtype_);
  }

  at::Tensor Embed(std::span<const TokenId> tokens) {
    const DecoderWeights& weights = decoder_.weights;
    const at::Tensor index =
        at::tensor(std::vector<int64_t>(tokens.begin(), tokens.end()),
                   at::dtype(at::kLong))
            .to(decoder_.device);
    ModuleTrace module{.part = SitePart::kEmbedding,
                       .factors = modules_.Factors(SitePart::kEmbedding, -1)};
    if (module.factors != nullptr) {
      module.activations =
          Wide(module.factors->v.index_select(1, index)).t().contiguous();
    }
    at::Tensor x =
        modules_.Write(std::move(module),
                       Wide(weights.token_embedding.index_select(0, index)));
    if (weights.position_embedding.defined()) {
      x = x + Wide(weights.position_embedding.narrow(0, 0, trace_.tokens));
    }
    return x;
  }

  // q, k and v of all positions, [T, (H + 2 K) e].
  at::Tensor Project(int layer, const at::Tensor& x) {
    const LayerSpec& names = spec_.layers[layer];
    const AttentionWeights& weights = decoder_.weights.layers[layer].attention;
    const at::Tensor plain = x.matmul(Wide(weights.qkv).t());
    const at::Tensor bias =
        weights.qkv_bias.defined() ? Wide(weights.qkv_bias) : at::Tensor();
    if (modules_.Factors(SitePart::kQkv, layer) != nullptr) {
      return modules_.Write(SitePart::kQkv, layer, x, plain, bias,
                            FusedColumns(layer));
    }
    const auto part = [&](SitePart which, const Affine& affine, int64_t first,
                          int64_t heads) {
      const int64_t begin = first * spec_.head_dim;
      const int64_t size = heads * spec_.head_dim;
      const at::Tensor order =
          PairCoordinates(spec_, at::arange(size, at::dtype(at::kLong)));
      return modules_.Write(
          which, layer, x, plain.narrow(1, begin, size),
          affine.bias.present() ? bias.narrow(0, begin, size) : at::Tensor(),
          which == SitePart::kV ? at::Tensor() : order.to(decoder_.device));
    };
    const int64_t heads = spec_.num_heads, kv_heads = spec_.num_kv_heads;
    const at::Tensor q = part(SitePart::kQ, names.q, 0, heads);
    const at::Tensor k = part(SitePart::kK, names.k, heads, kv_heads);
    const at::Tensor v =
        part(SitePart::kV, names.v, heads + kv_heads, kv_heads);
    return at::cat({q, k, v}, 1);
  }

  // Where the engine's q, k and v lie along the output axis of the checkpoint's
  // fused matrix.
  at::Tensor FusedColumns(int layer) const {
    const LayerSpec& names = spec_.layers[layer];
    const at::Tensor all = at::arange(
        int64_t{spec_.num_heads + 2 * spec_.num_kv_heads} * spec_.head_dim,
        at::dtype(at::kLong));
    return at::cat({PairCoordinates(spec_, TakePart(all, names.q.weight)),
                    PairCoordinates(spec_, TakePart(all, names.k.weight)),
                    TakePart(all, names.v.weight)})
        .to(decoder_.device);
  }

  // Which keys a query may not read, [T, T].
  at::Tensor Unseen(int window) const {
    const at::Tensor distance = ids_.unsqueeze(1) - ids_.unsqueeze(0);
    at::Tensor unseen = distance < 0;
    if (window > 0) unseen = unseen.logical_or(distance >= window);
    return unseen;
  }

  // What attention adds to the stream, [T, d].
  at::Tensor Attend(int layer, const at::Tensor& x) {
    const LayerSpec& names = spec_.layers[layer];
    const LayerWeights& weights = decoder_.weights.layers[layer];
    LayerTrace& trace = trace_.layers[layer];
    trace.attention_norm = TraceNorm(decoder_, weights.attention_norm, x);
    const at::Tensor heads = Project(layer, Normed(trace.attention_norm))
                                 .unflatten(1, {-1, spec_.head_dim});
    const int64_t num_heads = spec_.num_heads, kv_heads = spec_.num_kv_heads;
    at::Tensor k = heads.narrow(1, num_heads, kv_heads);
    at::Tensor v = heads.narrow(1, num_heads + kv_heads, kv_heads);
    const at::Tensor& kv_of_head = weights.attention.kv_of_head;
    if (kv_of_head.defined()) {
      k = k.index_select(1, kv_of_head);
      v = v.index_select(1, kv_of_head);
    }
    const auto turn = [&](const at::Tensor& some) {
      return TurnHeads(some, trace_.cos, trace_.sin, /*inverse=*/false)
          .transpose(0, 1)
          .contiguous();
    };
    trace.q = turn(heads.narrow(1, 0, num_heads));
    trace.k = turn(k);
    trace.v = v.transpose(0, 1).contiguous();
    trace.pattern =
        (at::bmm(trace.q, trace.k.transpose(1, 2)) * names.attention_scale)
            .masked_fill(Unseen(names.sliding_window),
                         -std::numeric_limits<double>::infinity())
            .softmax(-1);
    trace.mixed =
        at::bmm(trace.pattern, trace.v).transpose(0, 1).flatten(1).contiguous();
    const at::Tensor bias =
        names.o.bias.present() ? Wide(weights.o_bias) : at::Tensor();
    return modules_.Write(SitePart::kO, layer, trace.mixed,
                          trace.mixed.matmul(Wide(weights.attention.o)), bias,
                          {});
  }

  // What the MLP adds to the stream, [T, d].
  at::Tensor Mlp(int layer, const at::Tensor& x) {
    const LayerSpec& names = spec_.layers[layer];
    const LayerWeights& weights = decoder_.weights.layers[layer];
    LayerTrace& trace = trace_.layers[layer];
    trace.mlp_norm = TraceNorm(decoder_, weights.mlp_norm, x);
    const at::Tensor normed = Normed(trace.mlp_norm);
    const at::Tensor plain = normed.matmul(Wide(weights.mlp.up).t());
    const int64_t neurons = spec_.mlp_width;
    const auto part = [&](SitePart which, const Affine& affine, int64_t begin) {
      const at::Tensor& bias = weights.mlp.up_bias;
      return modules_.Write(
          which, layer, normed, plain.narrow(1, begin, neurons),
          affine.bias.present() ? Wide(bias.narrow(0, begin, neurons))
                                : at::Tensor(),
          {});
    };
    if (spec_.gated_mlp) {
      trace.gate = part(SitePart::kGate, names.gate, 0);
      trace.up = part(SitePart::kUp, names.up, neurons);
      trace.neurons = ActivationAt(spec_.activation, trace.gate) * trace.up;
    } else {
      trace.up = part(SitePart::kUp, names.up, 0);
      trace.neurons = ActivationAt(spec_.activation, trace.up);
    }
    const at::Tensor bias =
        names.down.bias.present() ? Wide(weights.down_bias) : at::Tensor();
    return modules_.Write(SitePart::kDown, layer, trace.neurons,
                          trace.neurons.matmul(Wide(weights.mlp.down)), bias,
                          {});
  }

  const Decoder& decoder_;
  const DecoderSpec& spec_;
  const at::ScalarType dtype_;
  ModuleTracer modules_;
  Trace trace_;
  at::Tensor ids_;  // [T]
};

}  // namespace

const ModuleTrace* Trace::Find(SitePart part, int layer) const {
  for (const ModuleTrace& module : modules) {
    if (module.part == part && module.layer == layer) return &module;
  }
  return nullptr;
}

Trace TraceRun(const Decoder& decoder,
               std::span<const TokenId> tokens,
               std::span<const ModuleFactors> factors,
               std::span<const ModuleMasks> masks) {
  return Tracer(decoder, factors, masks).Run(tokens);
}

at::Tensor TurnHeads(const at::Tensor& x,
                     const at::Tensor& cos,
                     const at::Tensor& sin,
                     bool inverse) {
  if (!cos.defined()) return x;
  const int64_t dim = 2 * cos.size(1);
  const at::Tensor pairs = x.narrow(2, 0, dim).unflatten(2, {-1, 2});
  const at::Tensor a = pairs.select(3, 0), b = pairs.select(3, 1);
  const at::Tensor c = cos.unsqueeze(1);
  const at::Tensor s = (inverse ? -sin : sin).unsqueeze(1);
  const at::Tensor turned =
      at::stack({a * c - b * s, b * c + a * s}, 3).flatten(2);
  if (dim == x.size(2)) return turned;
  return at::cat({turned, x.narrow(2, dim, x.size(2) - dim)}, 2);
}

at::Tensor LogitsOf(const Trace& trace, const at::Tensor& positions) {
  const DecoderWeights& weights = trace.decoder->weights;
  const at::Tensor x = Normed(trace.final_norm).index_select(0, positions);
  const at::Tensor logits = x.matmul(weights.unembedding.to(trace.dtype).t());
  return weights.unembedding_bias.defined()
             ? logits + weights.unembedding_bias.to(trace.dtype)
             : logits;
}

}  // namespace spar::models
