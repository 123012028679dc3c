#include "models/torch/decomposition/stored_maps.h"

#include "base/status.h"
#include "models/torch/aten.h"
#include "models/torch/weights.h"

namespace spar::models {
namespace {

constexpr double kRmsEpsilon = 1.1920928955078125e-07;  // 2^-23

std::string LayerName(const std::string& prefix, size_t layer) {
  return base::Cat(prefix, ".layers.", layer);
}

}  // namespace

at::Tensor StoredTensors::Matrix(const std::string& name) const {
  if (tensors_ != nullptr) return tensors_->at(name);
  return CopyTensor(decomposition_->Tensor(name)).to(dtype_).to(device_);
}

at::Tensor StoredTensors::Vector(const std::string& name) const {
  if (tensors_ != nullptr) return tensors_->at(name);
  return CopyTensor(decomposition_->Tensor(name)).to(at::kFloat).to(device_);
}

at::Tensor Widened(const at::Tensor& weight) {
  return weight.to(at::kFloat);
}

at::Tensor StoredLinear::operator()(const at::Tensor& x) const {
  return at::linear(
      x, Widened(weight),
      bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt);
}

StoredLinear LoadLinear(const StoredTensors& tensors, const std::string& name) {
  return {.weight = tensors.Matrix(name + ".weight"),
          .bias = tensors.Vector(name + ".bias")};
}

at::Tensor StoredMlp::operator()(at::Tensor x) const {
  for (size_t j = 0; j < layers.size(); ++j) {
    x = layers[j](j == 0 ? x : at::gelu(x));
  }
  return x;
}

StoredMlp LoadMlp(const StoredTensors& tensors,
                  const std::string& prefix,
                  size_t num_hidden) {
  StoredMlp mlp;
  for (size_t j = 0; j <= num_hidden; ++j) {
    mlp.layers.push_back(LoadLinear(tensors, LayerName(prefix, j)));
  }
  return mlp;
}

at::Tensor ParallelMlp::operator()(const at::Tensor& hidden) const {
  at::Tensor x = hidden.transpose(0, 1);  // [C, n, h]
  for (const auto& [weight, bias] : layers) {
    x = at::baddbmm(bias, at::gelu(x), Widened(weight));
  }
  return x.squeeze(2).t();
}

ParallelMlp LoadParallelMlp(const StoredTensors& tensors,
                            const std::string& prefix,
                            size_t num_hidden) {
  ParallelMlp mlp;
  for (size_t j = 1; j <= num_hidden; ++j) {
    const std::string name = LayerName(prefix, j);
    mlp.layers.emplace_back(
        tensors.Matrix(name + ".weight").transpose(1, 2).contiguous(),
        tensors.Vector(name + ".bias").unsqueeze(1));
  }
  return mlp;
}

at::Tensor Rms(const at::Tensor& x) {
  return x * ((x * x).mean(-1, /*keepdim=*/true) + kRmsEpsilon).rsqrt();
}

}  // namespace spar::models
