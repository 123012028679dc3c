// L1t. The attention of global CI functions: rotary, without a causal mask.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/decomposition/stored_maps.h"
#include "models/torch/sequences.h"

namespace spar::models {

class CiAttention {
 public:
  // `prefix`.{q,k,v,o}.weight, each [width, width].
  CiAttention(const StoredTensors& tensors,
              const std::string& prefix,
              const CiRotaryAttention& spec);

  // x: [tokens, width]; positions of each prompt count from 0.
  at::Tensor operator()(const at::Tensor& x,
                        const std::vector<Run>& runs) const;

 private:
  const CiRotaryAttention spec_;
  at::Tensor qkv_ = {};  // [3 width, width]
  at::Tensor o_ = {};
};

}  // namespace spar::models
