#include "models/snapshot/random_snapshot.h"

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "base/splitmix64.h"
#include "base/status.h"
#include "models/digest.h"

namespace spar::models {
namespace {

// Uniform in [-1, 1), counter-based.
float Noise(uint64_t seed, uint64_t index) {
  const uint64_t x = base::SplitMix64(seed * base::kSplitMix64Step + index);
  return static_cast<float>(x >> 40) * (2.0f / (1 << 24)) - 1.0f;
}

class RandomSnapshot final : public Snapshot {
 public:
  RandomSnapshot(const DecoderSpec& shape, bool biases, uint64_t seed)
      : spec_(shape), biases_(biases), seed_(seed) {
    spec_.family = "random";
    const int64_t width = spec_.width;
    spec_.token_embedding = Matrix("embed", spec_.vocab_size, width, 1.0);
    if (spec_.positions == PositionKind::kLearned) {
      spec_.position_embedding =
          Matrix("positions", spec_.context_length, width, 0.5);
    }
    spec_.layers.resize(spec_.num_layers);
    for (int i = 0; i < spec_.num_layers; ++i) {
      AddLayer(base::Cat("layers.", i), shape, i);
    }
    spec_.final_norm = Norm("norm");
    spec_.unembedding.weight = spec_.tied_embeddings
                                   ? spec_.token_embedding
                                   : Matrix("head", spec_.vocab_size, width, 1);
    digest_ =
        Sha256Hex(base::Cat("random ", seed, " ", spec_.num_layers, " ", width,
                            " ", spec_.mlp_width, " ", spec_.vocab_size));
  }

  const std::filesystem::path& folder() const override { return folder_; }
  const DecoderSpec& spec() const override { return spec_; }
  const TensorView& Tensor(std::string_view name) const override {
    const auto entry = views_.find(std::string(name));
    INVARIANT(entry != views_.end());
    return entry->second;
  }
  const std::string& config_json() const override { return config_json_; }
  const std::string& weights_digest() const override { return digest_; }
  const std::string& digest() const override { return digest_; }

 private:
  WeightRef Add(const std::string& name,
                const std::vector<int64_t>& shape,
                double center,
                double scale) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    std::vector<float>& values = values_[name];
    values.resize(count);
    const uint64_t stream = seed_ + 1000 * values_.size();
    for (int64_t i = 0; i < count; ++i) {
      values[i] = static_cast<float>(center + scale * Noise(stream, i));
    }
    views_[name] = {.dtype = Dtype::kFloat32,
                    .shape = shape,
                    .bytes = std::as_bytes(std::span<const float>(values))};
    return {.tensor = name};
  }

  WeightRef Matrix(const std::string& name,
                   int64_t out,
                   int64_t in,
                   double scale) {
    const double spread = scale * std::sqrt(3.0 / static_cast<double>(in));
    return Add(name + ".weight", {out, in}, 0, spread);
  }

  Affine Linear(const std::string& name,
                int64_t out,
                int64_t in,
                double scale) {
    Affine affine{.weight = Matrix(name, out, in, scale)};
    if (biases_) affine.bias = Add(name + ".bias", {out}, 0, 0.2);
    return affine;
  }

  Affine Norm(const std::string& name) {
    Affine norm{.weight = Add(name + ".weight", {spec_.width}, 1, 0.2)};
    if (biases_ && spec_.norm == NormKind::kLayerNorm) {
      norm.bias = Add(name + ".bias", {spec_.width}, 0, 0.2);
    }
    return norm;
  }

  void AddLayer(const std::string& name, const DecoderSpec& shape, int index) {
    LayerSpec& layer = spec_.layers[index];
    if (index < static_cast<int>(shape.layers.size())) {
      layer.sliding_window = shape.layers[index].sliding_window;
    }
    const int64_t width = spec_.width, mlp = spec_.mlp_width;
    const int64_t heads = int64_t{spec_.num_heads} * spec_.head_dim;
    const int64_t kv_heads = int64_t{spec_.num_kv_heads} * spec_.head_dim;
    layer.attention_scale = 1 / std::sqrt(static_cast<double>(spec_.head_dim));
    layer.attention_module = name + ".attn";
    layer.mlp_module = name + ".mlp";
    layer.attention_norm = Norm(name + ".norm1");
    layer.q = Linear(name + ".q", heads, width, 1.5);
    layer.k = Linear(name + ".k", kv_heads, width, 1.5);
    layer.v = Linear(name + ".v", kv_heads, width, 1);
    layer.o = Linear(name + ".o", width, heads, 1);
    layer.mlp_norm = Norm(name + ".norm2");
    if (spec_.gated_mlp) layer.gate = Linear(name + ".gate", mlp, width, 1.5);
    layer.up = Linear(name + ".up", mlp, width, 1.5);
    layer.down = Linear(name + ".down", width, mlp, 1);
  }

  DecoderSpec spec_;
  const bool biases_;
  const uint64_t seed_;
  std::map<std::string, std::vector<float>> values_;
  std::map<std::string, TensorView> views_;
  const std::filesystem::path folder_;
  const std::string config_json_ = "{}";
  std::string digest_;
};

}  // namespace

std::shared_ptr<const Snapshot> MakeRandomSnapshot(const DecoderSpec& shape,
                                                   bool biases,
                                                   uint64_t seed) {
  return std::make_shared<RandomSnapshot>(shape, biases, seed);
}

}  // namespace spar::models
