#include "models/torch/parameters.h"

#include "models/torch/aten.h"
#include "models/torch/weights.h"

namespace spar::models {
namespace {

// Reads the weights of one checkpoint into one device and dtype.
class Loader {
 public:
  Loader(const Snapshot& snapshot, at::Device device, at::ScalarType dtype)
      : snapshot_(snapshot),
        spec_(snapshot.spec()),
        device_(device),
        dtype_(dtype) {}

  DecoderWeights Load() {
    DecoderWeights weights;
    weights.token_embedding = Read(spec_.token_embedding);
    weights.position_embedding = Read(spec_.position_embedding);
    for (const LayerSpec& layer : spec_.layers) {
      weights.layers.push_back(ReadLayer(layer));
    }
    weights.final_norm = ReadNorm(spec_.final_norm);
    weights.unembedding = spec_.tied_embeddings
                              ? weights.token_embedding
                              : Read(spec_.unembedding.weight);
    weights.unembedding_bias = Read(spec_.unembedding.bias);
    weights.num_parameters = num_parameters_;
    return weights;
  }

 private:
  at::Tensor Read(const WeightRef& ref) {
    at::Tensor weight = LoadWeight(snapshot_, ref, dtype_);
    if (!weight.defined()) return weight;
    num_parameters_ += weight.numel();
    return weight.to(device_);
  }

  NormWeights ReadNorm(const Affine& norm) {
    return {.gain = Read(norm.weight), .bias = Read(norm.bias)};
  }

  at::Tensor ReadBiasOrZeros(const WeightRef& ref) {
    return ref.present() ? Read(ref) : Zeros(spec_.width);
  }

  at::Tensor Zeros(int64_t size) {
    return at::zeros({size}, at::dtype(dtype_).device(device_));
  }

  at::Tensor BiasOrZeros(const Affine& affine, const at::Tensor& weight) {
    return affine.bias.present() ? Read(affine.bias) : Zeros(weight.size(0));
  }

  at::Tensor Paired(const at::Tensor& rows) const {
    return PairCoordinates(spec_, rows);
  }

  AttentionWeights ReadAttention(const LayerSpec& layer) {
    AttentionWeights attention;
    attention.heads = spec_.num_heads;
    attention.kv_heads = spec_.num_kv_heads;
    const at::Tensor q = Read(layer.q.weight);
    const at::Tensor k = Read(layer.k.weight);
    const at::Tensor v = Read(layer.v.weight);
    attention.qkv = at::cat({Paired(q), Paired(k), v});
    if (layer.q.bias.present() || layer.k.bias.present() ||
        layer.v.bias.present()) {
      attention.qkv_bias =
          at::cat({Paired(BiasOrZeros(layer.q, q)),
                   Paired(BiasOrZeros(layer.k, k)), BiasOrZeros(layer.v, v)});
    }
    attention.o = Read(layer.o.weight).t().contiguous();
    if (spec_.num_kv_heads != spec_.num_heads) {
      std::vector<int64_t> kv_of_head;
      const int group = spec_.num_heads / spec_.num_kv_heads;
      for (int h = 0; h < spec_.num_heads; ++h) kv_of_head.push_back(h / group);
      attention.kv_of_head =
          at::tensor(kv_of_head, at::dtype(at::kLong)).to(device_);
    }
    return attention;
  }

  MlpWeights ReadMlp(const LayerSpec& layer) {
    MlpWeights mlp;
    mlp.neurons = spec_.mlp_width;
    mlp.up = Read(layer.up.weight);
    const bool biased = layer.up.bias.present() || layer.gate.bias.present();
    if (biased) mlp.up_bias = BiasOrZeros(layer.up, mlp.up);
    if (spec_.gated_mlp) {
      const at::Tensor gate = Read(layer.gate.weight);
      if (biased) {
        mlp.up_bias = at::cat({BiasOrZeros(layer.gate, gate), mlp.up_bias});
      }
      mlp.up = at::cat({gate, mlp.up});
    }
    mlp.down = Read(layer.down.weight).t().contiguous();
    return mlp;
  }

  LayerWeights ReadLayer(const LayerSpec& layer) {
    LayerWeights weights;
    weights.attention_norm = ReadNorm(layer.attention_norm);
    weights.attention = ReadAttention(layer);
    weights.o_bias = ReadBiasOrZeros(layer.o.bias);
    weights.mlp_norm = ReadNorm(layer.mlp_norm);
    weights.mlp = ReadMlp(layer);
    weights.down_bias = ReadBiasOrZeros(layer.down.bias);
    return weights;
  }

  const Snapshot& snapshot_;
  const DecoderSpec& spec_;
  const at::Device device_;
  const at::ScalarType dtype_;
  int64_t num_parameters_ = 0;
};

}  // namespace

at::Tensor PairCoordinates(const DecoderSpec& spec, const at::Tensor& rows) {
  const Rotary& rotary = spec.rotary;
  if (spec.positions != PositionKind::kRotary || rotary.adjacent_pairs) {
    return rows;
  }
  std::vector<int64_t> order;
  for (int i = 0; i < rotary.dim; ++i) {
    order.push_back(i / 2 + (i % 2) * (rotary.dim / 2));
  }
  for (int i = rotary.dim; i < spec.head_dim; ++i) order.push_back(i);
  std::vector<int64_t> heads = {-1, spec.head_dim};
  heads.insert(heads.end(), rows.sizes().begin() + 1, rows.sizes().end());
  const at::Tensor index =
      at::tensor(order, at::dtype(at::kLong)).to(rows.device());
  return rows.reshape(heads).index_select(1, index).flatten(0, 1);
}

int64_t CountWeights(const DecoderSpec& spec) {
  const int64_t width = spec.width;
  const int64_t attention =
      int64_t{2 * spec.num_heads + 2 * spec.num_kv_heads} * spec.head_dim;
  const int64_t mlp = int64_t{spec.mlp_width} * (spec.gated_mlp ? 3 : 2);
  const int64_t tables =
      int64_t{spec.vocab_size} * (spec.tied_embeddings ? 1 : 2) +
      (spec.positions == PositionKind::kLearned ? int64_t{spec.context_length}
                                                : 0);
  return width * (spec.num_layers * (attention + mlp) + tables);
}

Decoder LoadDecoder(const Snapshot& snapshot,
                    at::Device device,
                    at::ScalarType dtype) {
  Loader loader(snapshot, device, dtype);
  return {.spec = snapshot.spec(),
          .weights = loader.Load(),
          .device = device,
          .dtype = dtype};
}

}  // namespace spar::models
