// L1t. The weights of a causal importance function, trained.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/decomposition_spec.h"
#include "models/torch/decomposition/ci_function.h"

namespace spar::models {

// Leaves by the names that a decomposition's folder has for them. One thread at
// a time. Throws c10::Error.
class CiWeights {
 public:
  // `spec` outlives this. Maps before a GELU are drawn normal of variance
  // 2 / d_in, last maps of variance 1 / d_in, attention's uniform in
  // +- 1 / sqrt(d_in); norms begin at 1, the rest at 0. The input of a
  // transformer is drawn as if before a GELU.
  CiWeights(const DecompositionSpec& spec, uint64_t seed, at::Device device);

  // By name; they want gradients.
  const std::map<std::string, at::Tensor>& parameters() const {
    return weights_;
  }
  std::vector<at::Tensor> leaves() const;

  // The function, as the weights are now; differentiable in them when grad mode
  // is on here and where it is called. Ends before this.
  std::unique_ptr<CiFunction> Function() const;

 private:
  const DecompositionSpec& spec_;
  std::map<std::string, at::Tensor> weights_ = {};
};

}  // namespace spar::models
