#include "models/torch/decomposition/ci_attention.h"

#include <cmath>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

struct Angles {
  at::Tensor cos = {};  // [length, head_dim / 2]
  at::Tensor sin = {};
};

// Position p turns pair j by p * base^(-2j / head_dim).
Angles AnglesOf(int64_t length,
                int64_t head_dim,
                double base,
                const at::Device& device) {
  const auto options = at::dtype(at::kFloat).device(device);
  std::vector<float> frequencies;
  for (int64_t j = 0; j < head_dim / 2; ++j) {
    frequencies.push_back(static_cast<float>(std::pow(
        base, -2.0 * static_cast<double>(j) / static_cast<double>(head_dim))));
  }
  const at::Tensor angles =
      at::outer(at::arange(length, options),
                at::tensor(frequencies, at::dtype(at::kFloat)).to(device));
  return {.cos = angles.cos(), .sin = angles.sin()};
}

// Coordinate j pairs with j + head_dim / 2. x: [n, heads, length, head_dim].
at::Tensor Rotate(const at::Tensor& x, const Angles& angles) {
  const int64_t half = x.size(3) / 2;
  const at::Tensor low = x.narrow(3, 0, half);
  const at::Tensor high = x.narrow(3, half, half);
  return at::cat({low * angles.cos - high * angles.sin,
                  high * angles.cos + low * angles.sin},
                 3);
}

}  // namespace

CiAttention::CiAttention(const StoredTensors& tensors,
                         const std::string& prefix,
                         const CiRotaryAttention& spec)
    : spec_(spec),
      qkv_(at::cat({tensors.Matrix(prefix + ".q.weight"),
                    tensors.Matrix(prefix + ".k.weight"),
                    tensors.Matrix(prefix + ".v.weight")})),
      o_(tensors.Matrix(prefix + ".o.weight")) {}

at::Tensor CiAttention::operator()(const at::Tensor& x,
                                   const std::vector<Run>& runs) const {
  const int64_t heads = spec_.num_heads;
  const int64_t head_dim = x.size(1) / heads;
  const at::Tensor qkv = at::linear(x, Widened(qkv_));
  std::vector<at::Tensor> mixed;
  for (const Run& run : runs) {
    const Angles angles =
        AnglesOf(run.length, head_dim, spec_.rope_base, x.device());
    const at::Tensor parts =
        qkv.narrow(0, run.first_token, run.tokens())
            .view({run.count, run.length, 3, heads, head_dim})
            .permute({2, 0, 3, 1, 4});
    mixed.push_back(at::scaled_dot_product_attention(Rotate(parts[0], angles),
                                                     Rotate(parts[1], angles),
                                                     parts[2])
                        .transpose(1, 2)
                        .reshape({run.tokens(), -1}));
  }
  return at::linear(mixed.size() == 1 ? mixed[0] : at::cat(mixed), Widened(o_));
}

}  // namespace spar::models
