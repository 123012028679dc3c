#include "models/torch/margin_gradient.h"

#include <limits>

#include "models/torch/aten.h"
#include "models/torch/attention_gradient.h"
#include "models/torch/blocks.h"

namespace spar::models {
namespace {

// A norm's input, centred where it centres and scaled, and the scale.
struct NormTape {
  at::Tensor normal = {};  // [tokens, width], float32
  at::Tensor scale = {};   // [tokens, 1]
};

// Masked units: their values are base + mask * own, where `own` is what they
// hold beyond the reference.
struct UnitTape {
  at::Tensor own = {};    // [tokens, units, size]
  at::Tensor masks = {};  // [tokens, units, 1]
};

struct LayerTape {
  NormTape attention_norm = {};
  HeadInputs head_inputs = {};
  UnitTape heads = {};
  NormTape mlp_norm = {};
  at::Tensor pre = {};  // before the activation
  UnitTape neurons = {};
};

class Margins {
 public:
  Margins(const Decoder& decoder,
          SequenceBatch& batch,
          const at::Tensor& masks,
          const ReferenceValues* reference)
      : decoder_(decoder),
        spec_(decoder.spec),
        batch_(batch),
        masks_(masks),
        reference_(reference),
        nodes_(OneNodePerSequence(batch)),
        one_token_each_(OneTokenEach(nodes_)),
        gradient_(at::empty(masks.sizes(), masks.options().dtype(at::kFloat))) {
    if (!one_token_each_) {
      std::vector<int64_t> sequence;
      for (size_t i = 0; i < batch.sequences().size(); ++i) {
        sequence.insert(sequence.end(), batch.sequences()[i].length(),
                        static_cast<int64_t>(i));
      }
      sequence_of_token_ =
          at::tensor(sequence, at::dtype(at::kLong)).to(decoder.device);
    }
    if (reference != nullptr) reference_rows_ = reference->Rows(batch.ids());
  }

  MarginGradient Differentiate(const std::vector<TokenId>& targets) {
    at::Tensor x = Embed(decoder_, batch_);
    tapes_.resize(spec_.num_layers);
    for (int layer = 0; layer < spec_.num_layers; ++layer) {
      x = Forward(layer, x);
    }
    MarginGradient result;
    const DecoderWeights& weights = decoder_.weights;
    NormTape final_norm;
    const at::Tensor& bias = weights.unembedding_bias;
    result.logits =
        at::linear(
            Normalized(weights.final_norm, x, final_norm), weights.unembedding,
            bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt)
            .to(at::kFloat);
    const at::Tensor to_logits =
        SmoothMarginGradient(result.logits, targets, result.smooth);
    at::Tensor to_stream =
        NormGradient(weights.final_norm, final_norm,
                     at::mm(to_logits.to(decoder_.dtype), weights.unembedding));
    for (int layer = spec_.num_layers - 1; layer >= 0; --layer) {
      to_stream = Backward(layer, to_stream);
    }
    result.gradient = gradient_;
    return result;
  }

 private:
  static bool OneTokenEach(const Nodes& nodes) {
    return nodes.runs.size() == 1 && nodes.runs[0].length == 1;
  }
  bool OnlyLast(int layer) const { return layer == spec_.num_layers - 1; }
  int64_t FirstUnit(int layer) const {
    return int64_t{layer} * (spec_.num_heads + spec_.mlp_width);
  }
  at::Tensor LastTokens(const at::Tensor& tokens, bool only_last) const {
    return only_last && !one_token_each_
               ? tokens.index_select(0, nodes_.last_tokens)
               : tokens;
  }

  at::Tensor Forward(int layer, const at::Tensor& x);
  at::Tensor Backward(int layer, const at::Tensor& to_stream);
  at::Tensor Normalized(const NormWeights& norm,
                        const at::Tensor& x,
                        NormTape& tape) const;
  at::Tensor NormGradient(const NormWeights& norm,
                          const NormTape& tape,
                          const at::Tensor& to_normed) const;
  at::Tensor Masked(const at::Tensor& values,
                    int64_t first_unit,
                    int64_t size,
                    const at::Tensor& reference,
                    bool only_last,
                    UnitTape& tape) const;
  // To the units' own values; notes what goes to their masks.
  at::Tensor Unmasked(const at::Tensor& to_values,
                      int64_t first_unit,
                      bool only_last,
                      const UnitTape& tape);
  at::Tensor ActivationGradient(const at::Tensor& pre,
                                const at::Tensor& to_values) const;

  const Decoder& decoder_;
  const DecoderSpec& spec_;
  SequenceBatch& batch_;
  const at::Tensor masks_;
  const ReferenceValues* const reference_;
  const Nodes nodes_;
  const bool one_token_each_;
  at::Tensor sequence_of_token_;  // undefined: one token each
  at::Tensor reference_rows_;     // [tokens]
  std::vector<LayerTape> tapes_;
  const at::Tensor gradient_;
};

at::Tensor Margins::Normalized(const NormWeights& norm,
                               const at::Tensor& x,
                               NormTape& tape) const {
  at::Tensor wide = x.to(at::kFloat);
  if (spec_.norm == NormKind::kLayerNorm) {
    wide = wide - wide.mean(-1, /*keepdim=*/true);
  }
  tape.scale = (wide * wide)
                   .mean(-1, /*keepdim=*/true)
                   .add_(spec_.norm_epsilon)
                   .rsqrt_();
  tape.normal = wide * tape.scale;
  at::Tensor normed = tape.normal.to(x.scalar_type());
  if (norm.gain.defined()) normed = normed * norm.gain;
  if (norm.bias.defined()) normed = normed + norm.bias;
  return normed;
}

// n = s (x - mean x), |n|^2 = width: dx = s (dn - n mean(n dn) - mean(dn)), the
// last where the norm centres.
at::Tensor Margins::NormGradient(const NormWeights& norm,
                                 const NormTape& tape,
                                 const at::Tensor& to_normed) const {
  const at::Tensor weighed =
      norm.gain.defined() ? to_normed * norm.gain : to_normed;
  const at::Tensor to_normal = weighed.to(at::kFloat);
  at::Tensor to_x =
      to_normal -
      tape.normal * (to_normal * tape.normal).mean(-1, /*keepdim=*/true);
  if (spec_.norm == NormKind::kLayerNorm) {
    to_x.sub_(to_normal.mean(-1, /*keepdim=*/true));
  }
  return to_x.mul_(tape.scale).to(decoder_.dtype);
}

at::Tensor Margins::Masked(const at::Tensor& values,
                           int64_t first_unit,
                           int64_t size,
                           const at::Tensor& reference,
                           bool only_last,
                           UnitTape& tape) const {
  const int64_t units = values.size(1) / size;
  at::Tensor masks = masks_.narrow(1, first_unit, units);
  if (sequence_of_token_.defined() && !only_last) {
    masks = masks.index_select(0, sequence_of_token_);
  }
  tape.masks = masks.unsqueeze(2);
  if (!reference.defined()) {
    tape.own = values.unflatten(1, {units, size});
    return (tape.own * tape.masks).flatten(1);
  }
  const at::Tensor base =
      reference.index_select(0, LastTokens(reference_rows_, only_last))
          .to(values.scalar_type())
          .unflatten(1, {units, size});
  tape.own = values.unflatten(1, {units, size}) - base;
  return (base + tape.own * tape.masks).flatten(1);
}

at::Tensor Margins::Unmasked(const at::Tensor& to_values,
                             int64_t first_unit,
                             bool only_last,
                             const UnitTape& tape) {
  const at::Tensor to_units = to_values.view_as(tape.own);
  at::Tensor to_masks = to_units * tape.own;  // [tokens, units, size]
  to_masks = to_masks.size(2) == 1 ? to_masks.squeeze(2) : to_masks.sum({2});
  const at::Tensor slice = gradient_.narrow(1, first_unit, to_masks.size(1));
  if (only_last || one_token_each_) {
    slice.copy_(to_masks);
  } else {
    for (const Run& run : nodes_.runs) {
      slice.narrow(0, run.first, run.count)
          .copy_(to_masks.narrow(0, run.first_token, run.tokens())
                     .unflatten(0, {run.count, run.length})
                     .sum({1}));
    }
  }
  return to_units * tape.masks;
}

at::Tensor Margins::Forward(int layer, const at::Tensor& x) {
  const LayerWeights& weights = decoder_.weights.layers[layer];
  LayerTape& tape = tapes_[layer];
  const bool only_last = OnlyLast(layer);
  const at::Tensor normed =
      Normalized(weights.attention_norm, x, tape.attention_norm);
  at::Tensor own;
  if (one_token_each_) {  // no queries, no keys
    own = MixValues(decoder_, layer, weights.attention, batch_, nodes_, normed,
                    only_last);
  } else {
    tape.head_inputs =
        ProjectHeads(decoder_, weights.attention, nodes_, normed, only_last);
    own = Attend(decoder_, layer, weights.attention, batch_, nodes_,
                 tape.head_inputs.q, tape.head_inputs.kv, only_last);
  }
  const at::Tensor heads =
      Masked(own, FirstUnit(layer), spec_.head_dim,
             reference_ != nullptr ? reference_->heads[layer] : at::Tensor(),
             only_last, tape.heads);
  const at::Tensor stream = LastTokens(x, only_last);
  const at::Tensor mixed =
      at::addmm(weights.o_bias, heads, weights.attention.o).add_(stream);
  const at::Tensor& read = spec_.parallel_residual ? stream : mixed;
  const at::Tensor& bias = weights.mlp.up_bias;
  tape.pre = at::linear(
      Normalized(weights.mlp_norm, read, tape.mlp_norm), weights.mlp.up,
      bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt);
  at::Tensor activated;
  if (spec_.gated_mlp) {
    activated = ActivationOf(spec_.activation,
                             tape.pre.narrow(1, 0, spec_.mlp_width).clone()) *
                tape.pre.narrow(1, spec_.mlp_width, spec_.mlp_width);
  } else {
    activated = ActivationOf(spec_.activation, tape.pre.clone());
  }
  const at::Tensor neurons =
      Masked(activated, FirstUnit(layer) + spec_.num_heads, 1,
             reference_ != nullptr ? reference_->neurons[layer] : at::Tensor(),
             only_last, tape.neurons);
  return at::addmm(weights.down_bias, neurons, weights.mlp.down).add_(mixed);
}

at::Tensor Margins::ActivationGradient(const at::Tensor& pre,
                                       const at::Tensor& to_values) const {
  switch (spec_.activation) {
    case Activation::kGeluTanh:
      return at::gelu_backward(to_values, pre, "tanh");
    case Activation::kGeluErf:
      return at::gelu_backward(to_values, pre, "none");
    case Activation::kSilu:
      return at::silu_backward(to_values, pre);
    case Activation::kRelu:
      break;
  }
  return at::threshold_backward(to_values, pre, 0);
}

// From the stream after the layer to the stream before it. The first layer ends
// at its masks: nothing before them has any.
at::Tensor Margins::Backward(int layer, const at::Tensor& to_stream) {
  const LayerWeights& weights = decoder_.weights.layers[layer];
  const LayerTape& tape = tapes_[layer];
  const bool only_last = OnlyLast(layer);
  const at::Tensor to_neurons =
      Unmasked(at::mm(to_stream, weights.mlp.down.t()),
               FirstUnit(layer) + spec_.num_heads, only_last, tape.neurons)
          .flatten(1);
  at::Tensor to_pre;
  if (spec_.gated_mlp) {
    const at::Tensor gate = tape.pre.narrow(1, 0, spec_.mlp_width);
    const at::Tensor up = tape.pre.narrow(1, spec_.mlp_width, spec_.mlp_width);
    to_pre =
        at::cat({ActivationGradient(gate, to_neurons * up),
                 to_neurons * ActivationOf(spec_.activation, gate.clone())},
                1);
  } else {
    to_pre = ActivationGradient(tape.pre, to_neurons);
  }
  const at::Tensor before = NormGradient(weights.mlp_norm, tape.mlp_norm,
                                         at::mm(to_pre, weights.mlp.up))
                                .add_(to_stream);
  const at::Tensor& to_mixed = spec_.parallel_residual ? to_stream : before;
  const at::Tensor to_heads =
      Unmasked(at::mm(to_mixed, weights.attention.o.t()), FirstUnit(layer),
               only_last, tape.heads);
  if (layer == 0) return {};
  at::Tensor to_x =
      NormGradient(weights.attention_norm, tape.attention_norm,
                   AttentionGradient(decoder_, layer, batch_, nodes_,
                                     tape.head_inputs, to_heads, only_last));
  if (only_last && !one_token_each_) {
    return to_x.index_add_(0, nodes_.last_tokens, before);
  }
  return to_x.add_(before);
}

}  // namespace

// smooth = l_t - log sum_o e^{l_o}: its gradient is 1 at the target and minus
// the others' softmax.
at::Tensor SmoothMarginGradient(const at::Tensor& logits,
                                const std::vector<TokenId>& targets,
                                at::Tensor& smooth) {
  const std::vector<int64_t> column(targets.begin(), targets.end());
  const at::Tensor target =
      at::tensor(column, at::dtype(at::kLong)).to(logits.device()).unsqueeze(1);
  const at::Tensor others =
      logits.scatter(1, target, -std::numeric_limits<double>::infinity());
  const at::Tensor largest =
      others.amax({1}, /*keepdim=*/true)
          .clamp_min(std::numeric_limits<float>::lowest());
  const at::Tensor powers = (others - largest).exp_();
  const at::Tensor sum = powers.sum({1}, /*keepdim=*/true);
  smooth = (logits.gather(1, target) - largest - sum.log()).squeeze(1);
  return powers.div_(sum).neg_().scatter_(1, target, 1.0);
}

MarginGradient DifferentiateMargins(const Decoder& decoder,
                                    SequenceBatch& batch,
                                    const at::Tensor& masks,
                                    const ReferenceValues* reference,
                                    const std::vector<TokenId>& targets) {
  return Margins(decoder, batch, masks, reference).Differentiate(targets);
}

}  // namespace spar::models
