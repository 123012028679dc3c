#include "models/torch/masked_forward.h"

#include "models/torch/aten.h"

namespace spar::models {
namespace {

// One dense forward in progress.
class MaskedPass {
 public:
  MaskedPass(const Decoder& decoder,
             SequenceBatch& batch,
             const MaskOptions& options)
      : decoder_(decoder),
        spec_(decoder.spec),
        batch_(batch),
        options_(options),
        nodes_(OneNodePerSequence(batch)) {
    std::vector<int64_t> sequence_of_token;
    for (size_t i = 0; i < batch.sequences().size(); ++i) {
      sequence_of_token.insert(sequence_of_token.end(),
                               batch.sequences()[i].length(),
                               static_cast<int64_t>(i));
    }
    mask_rows_ =
        at::tensor(sequence_of_token, at::dtype(at::kLong)).to(decoder.device);
    if (options.reference != nullptr) {
      reference_rows_ = options.reference->Rows(batch.ids());
    }
  }

  at::Tensor Run() {
    at::Tensor x = Embed(decoder_, batch_);
    for (int layer = 0; layer < spec_.num_layers; ++layer) {
      const bool only_last = options_.last_only &&
                             options_.last_layer_last_only &&
                             layer == spec_.num_layers - 1;
      x = Layer(layer, x, only_last);
      if (only_last) return x;
    }
    return options_.last_only ? x.index_select(0, nodes_.last_tokens) : x;
  }

 private:
  at::Tensor Layer(int layer, const at::Tensor& x, bool only_last) {
    const LayerWeights& weights = decoder_.weights.layers[layer];
    const auto last = [&](const at::Tensor& tokens) {
      return only_last ? tokens.index_select(0, nodes_.last_tokens) : tokens;
    };
    const at::Tensor normed = Normalize(decoder_, weights.attention_norm, x);
    if (options_.see_attention_input) {
      options_.see_attention_input(layer, normed);
    }
    at::Tensor heads = MixValues(decoder_, layer, weights.attention, batch_,
                                 nodes_, normed, only_last);
    if (options_.see_heads) options_.see_heads(layer, heads);
    if (only_last) ReadoutOnly();
    const at::Tensor stream = last(x);
    heads = MaskHeads(layer, heads);
    const at::Tensor mixed =
        stream + at::addmm(weights.o_bias, heads, weights.attention.o);
    const at::Tensor read = spec_.parallel_residual ? stream : mixed;
    const at::Tensor mlp_input = Normalize(decoder_, weights.mlp_norm, read);
    if (options_.see_mlp_input) options_.see_mlp_input(layer, mlp_input);
    at::Tensor neurons = Activate(decoder_, weights.mlp, mlp_input);
    if (options_.see_neurons) options_.see_neurons(layer, neurons);
    neurons = MaskNeurons(layer, neurons);
    return mixed + at::addmm(weights.down_bias, neurons, weights.mlp.down);
  }

  // From here on there is one token per sequence, its last.
  void ReadoutOnly() {
    mask_rows_ = mask_rows_.index_select(0, nodes_.last_tokens);
    if (reference_rows_.defined()) {
      reference_rows_ = reference_rows_.index_select(0, nodes_.last_tokens);
    }
  }

  // value = mask * own + (1 - mask) * reference. own: [tokens, units, size].
  at::Tensor Mask(const at::Tensor& own,
                  int64_t first_unit,
                  const at::Tensor& reference) {
    const at::Tensor masks = options_.masks.narrow(1, first_unit, own.size(1))
                                 .index_select(0, mask_rows_)
                                 .unsqueeze(2);
    if (!reference.defined()) return (own * masks).flatten(1);
    const at::Tensor base = reference.index_select(0, reference_rows_)
                                .to(own.scalar_type())
                                .view_as(own);
    return (base + (own - base) * masks).flatten(1);
  }

  at::Tensor MaskHeads(int layer, const at::Tensor& heads) {
    if (!options_.masks.defined()) return heads;
    return Mask(
        heads.unflatten(1, {spec_.num_heads, spec_.head_dim}), FirstUnit(layer),
        options_.reference ? options_.reference->heads[layer] : at::Tensor());
  }

  at::Tensor MaskNeurons(int layer, const at::Tensor& neurons) {
    if (!options_.masks.defined()) return neurons;
    return Mask(
        neurons.unsqueeze(2), FirstUnit(layer) + spec_.num_heads,
        options_.reference ? options_.reference->neurons[layer] : at::Tensor());
  }

  int64_t FirstUnit(int layer) const {
    return int64_t{layer} * (spec_.num_heads + spec_.mlp_width);
  }

  const Decoder& decoder_;
  const DecoderSpec& spec_;
  SequenceBatch& batch_;
  const MaskOptions& options_;
  const Nodes nodes_;
  at::Tensor mask_rows_;       // [tokens]: its sequence
  at::Tensor reference_rows_;  // [tokens]: its row of the reference
};

}  // namespace

at::Tensor ReferenceValues::Rows(const at::Tensor& ids) const {
  return ids.clamp_max(last_row);
}

void ReferenceValues::MoveTo(at::Device device) {
  for (at::Tensor& values : heads) values = values.to(device);
  for (at::Tensor& values : neurons) values = values.to(device);
}

at::Tensor MaskedForward(const Decoder& decoder,
                         SequenceBatch& batch,
                         const MaskOptions& options) {
  return MaskedPass(decoder, batch, options).Run();
}

}  // namespace spar::models
