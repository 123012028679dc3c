// L1t. The demo model while it is trained: llama_simple_mlp with gradients.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace at {
class Tensor;
}

namespace spar::demo {

struct DecoderShape {
  int vocab_size = 0;
  int num_layers = 4;
  int width = 128;
  int num_heads = 4;
  int mlp_width = 512;
  int context_length = 64;
  double rotary_base = 10000.0;
  double norm_epsilon = 1e-6;
};

// One thread at a time.
class DemoDecoder {
 public:
  // Weights are drawn from the seed alone.
  DemoDecoder(const DecoderShape& shape, uint64_t seed);
  ~DemoDecoder();
  DemoDecoder(const DemoDecoder&) = delete;
  DemoDecoder& operator=(const DemoDecoder&) = delete;

  // ids: [batch][position], int64, at most context_length positions.
  // Returns the final norm's output, [batch][position][width].
  at::Tensor Features(const at::Tensor& ids) const;
  // features: [...][width]. Returns logits, [...][vocab].
  at::Tensor Logits(const at::Tensor& features) const;

  const DecoderShape& shape() const { return shape_; }
  // Leaves that require gradients, and their checkpoint names in that order.
  const std::vector<at::Tensor>& parameters() const { return parameters_; }
  const std::vector<std::string>& names() const { return names_; }

 private:
  void AddParameter(std::string name,
                    const std::vector<int64_t>& shape,
                    const std::vector<float>& values);
  const at::Tensor& Layer(int layer, int index) const;
  at::Tensor Norm(const at::Tensor& x, const at::Tensor& weight) const;
  at::Tensor Rotate(const at::Tensor& x) const;
  at::Tensor Attention(int layer, const at::Tensor& x) const;

  DecoderShape shape_;
  std::vector<std::string> names_;
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> rotary_;  // cos, sin: [position][head_dim]
};

}  // namespace spar::demo
