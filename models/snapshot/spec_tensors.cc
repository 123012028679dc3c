#include "models/snapshot/spec_tensors.h"

#include <utility>

namespace spar::models {
namespace {

class Collector {
 public:
  // A weight of [out, in] or, with `in` 0, a vector of [out].
  void Add(const WeightRef& ref, int64_t out, int64_t in) {
    if (!ref.present()) return;
    const int64_t stored_out = out * ref.parts;
    std::vector<int64_t> shape = {stored_out, in};
    if (in == 0) shape = {stored_out};
    if (in != 0 && ref.transposed) shape = {in, stored_out};
    tensors_[ref.tensor] = shape;
  }

  void Add(const Affine& affine, int64_t out, int64_t in) {
    Add(affine.weight, out, in);
    Add(affine.bias, out, 0);
  }

  std::map<std::string, std::vector<int64_t>> Take() {
    return std::move(tensors_);
  }

 private:
  std::map<std::string, std::vector<int64_t>> tensors_ = {};
};

}  // namespace

std::map<std::string, std::vector<int64_t>> SpecTensors(
    const DecoderSpec& spec) {
  const int64_t width = spec.width;
  const int64_t q_width = int64_t{spec.num_heads} * spec.head_dim;
  const int64_t kv_width = int64_t{spec.num_kv_heads} * spec.head_dim;
  Collector tensors;
  tensors.Add(spec.token_embedding, spec.vocab_size, width);
  tensors.Add(spec.position_embedding, spec.context_length, width);
  tensors.Add(spec.final_norm, width, 0);
  tensors.Add(spec.unembedding, spec.vocab_size, width);
  for (const LayerSpec& layer : spec.layers) {
    tensors.Add(layer.attention_norm, width, 0);
    tensors.Add(layer.q, q_width, width);
    tensors.Add(layer.k, kv_width, width);
    tensors.Add(layer.v, kv_width, width);
    tensors.Add(layer.o, width, q_width);
    tensors.Add(layer.mlp_norm, width, 0);
    tensors.Add(layer.gate, spec.mlp_width, width);
    tensors.Add(layer.up, spec.mlp_width, width);
    tensors.Add(layer.down, width, spec.mlp_width);
  }
  return tensors.Take();
}

}  // namespace spar::models
