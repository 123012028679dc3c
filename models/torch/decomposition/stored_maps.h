// L1t. Linear maps and MLPs kept as a decomposition stores them.
//
// Weights lie on the device in float32 or bfloat16; arithmetic is float32
// either way, with a bfloat16 weight widened while it is used.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/decomposition/decomposition.h"

namespace spar::models {

// The tensors of one decomposition, by name. Throws c10::Error. Keeps the
// addresses that it is given, for as long as it lives.
class StoredTensors {
 public:
  // Reads them to one device and dtype.
  StoredTensors(const Decomposition& decomposition,
                at::Device device,
                at::ScalarType dtype)
      : spec_(decomposition.spec()),
        decomposition_(&decomposition),
        device_(device),
        dtype_(dtype) {}
  // Float32 tensors at hand, as they are: what is made of leaves that want
  // gradients is differentiable in them.
  StoredTensors(const DecompositionSpec& spec,
                const std::map<std::string, at::Tensor>& tensors)
      : spec_(spec), tensors_(&tensors) {}

  // In the storage dtype: matrices.
  at::Tensor Matrix(const std::string& name) const;
  // In float32: biases, norms and positions.
  at::Tensor Vector(const std::string& name) const;

  const DecompositionSpec& spec() const { return spec_; }

 private:
  const DecompositionSpec& spec_;
  const Decomposition* const decomposition_ = nullptr;
  const std::map<std::string, at::Tensor>* const tensors_ = nullptr;
  const at::Device device_ = at::kCPU;
  const at::ScalarType dtype_ = at::kFloat;
};

// x W^T + b in float32. x: [n, in]; weight: [out, in]; bias [out] or undefined.
struct StoredLinear {
  at::Tensor weight = {};
  at::Tensor bias = {};

  at::Tensor operator()(const at::Tensor& x) const;
};

StoredLinear LoadLinear(const StoredTensors& tensors, const std::string& name);

// Linear maps with the exact GELU between them.
struct StoredMlp {
  std::vector<StoredLinear> layers = {};

  at::Tensor operator()(at::Tensor x) const;
};

// `prefix`.layers.0 ... `prefix`.layers.`num_hidden`.
StoredMlp LoadMlp(const StoredTensors& tensors,
                  const std::string& prefix,
                  size_t num_hidden);

// The layers after the first of an MLP for each of C subcomponents.
struct ParallelMlp {
  // weight: [C, in, out], as batched products want it; bias: [C, 1, out].
  std::vector<std::pair<at::Tensor, at::Tensor>> layers = {};

  // `hidden`: [n, C, h], before the first activation. Result [n, C].
  at::Tensor operator()(const at::Tensor& hidden) const;
};

ParallelMlp LoadParallelMlp(const StoredTensors& tensors,
                            const std::string& prefix,
                            size_t num_hidden);

// x / sqrt(mean(x^2) + 2^-23), by row.
at::Tensor Rms(const at::Tensor& x);

// Float32 of a stored weight; the weight itself where it is that already.
at::Tensor Widened(const at::Tensor& weight);

// compute(begin, count) for pieces of n rows, such that a piece of
// `floats_per_row` stays near 64 MiB; in order.
template <typename Compute>
auto InPieces(int64_t n, int64_t floats_per_row, const Compute& compute) {
  constexpr int64_t kPieceFloats = int64_t{16} << 20;
  const int64_t piece =
      std::max<int64_t>(1, kPieceFloats / std::max<int64_t>(1, floats_per_row));
  std::vector<decltype(compute(int64_t{}, int64_t{}))> parts;
  for (int64_t begin = 0; begin < n; begin += piece) {
    parts.push_back(compute(begin, std::min(piece, n - begin)));
  }
  return parts;
}

}  // namespace spar::models
