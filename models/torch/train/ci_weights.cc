#include "models/torch/train/ci_weights.h"

#include <cmath>
#include <string_view>

#include "base/status.h"
#include "models/decomposition/decomposition_tensors.h"
#include "models/torch/aten.h"
#include "models/torch/decomposition/stored_maps.h"
#include "models/torch/train/draws.h"

namespace spar::models {
namespace {

// Whether a GELU follows the map `name`, ".layers.J.weight" of an MLP.
bool IsHidden(std::string_view name, const CiSpec& ci) {
  const std::string marker = ".layers.";
  const size_t at = name.rfind(marker);
  if (at == name.npos) return false;
  const size_t layer = std::stoul(std::string(name.substr(at + marker.size())));
  const bool transition = name.find(".transition.") != name.npos;
  const size_t last = transition ? (ci.transition_hidden.has_value() ? 1 : 0)
                                 : ci.hidden.size();
  return layer < last;
}

at::Tensor DrawWeight(const std::string& name,
                      const std::vector<int64_t>& shape,
                      const CiSpec& ci,
                      const DrawKey& key,
                      at::Device device) {
  const auto options = at::dtype(at::kFloat).device(device);
  if (name.ends_with("_norm.weight")) return at::ones(shape, options);
  if (!name.ends_with(".weight")) return at::zeros(shape, options);
  const double d_in = static_cast<double>(shape.back());
  if (name.find(".attention.") != name.npos) {
    return (key.Uniform(shape, device) * 2 - 1) / std::sqrt(d_in);
  }
  const bool hidden = IsHidden(name, ci) || name == "ci.input.weight";
  return key.Normal(shape, device) * std::sqrt((hidden ? 2 : 1) / d_in);
}

}  // namespace

CiWeights::CiWeights(const DecompositionSpec& spec,
                     uint64_t seed,
                     at::Device device)
    : spec_(spec) {
  const c10::NoGradGuard no_grad;
  const DrawKey key = KeyOf(seed, DrawUse::kCiWeights);
  uint64_t index = 0;
  const std::map<std::string, std::vector<int64_t>> shapes =
      DecompositionTensors(spec);
  for (const auto& [name, shape] : shapes) {
    if (!name.starts_with("ci.")) continue;
    at::Tensor weight =
        DrawWeight(name, shape, spec.ci, key.Of(index++), device);
    weights_[name] = weight.requires_grad_(true);
  }
}

std::vector<at::Tensor> CiWeights::leaves() const {
  std::vector<at::Tensor> leaves;
  for (const auto& [name, leaf] : weights_) leaves.push_back(leaf);
  return leaves;
}

std::unique_ptr<CiFunction> CiWeights::Function() const {
  return LoadCiFunction(StoredTensors(spec_, weights_));
}

}  // namespace spar::models
