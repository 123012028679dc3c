// L1t. Causal importance functions: what the modules of a decomposition read,
// to a logit for each subcomponent at each position.
#pragma once

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/decomposition/module_inputs.h"
#include "models/torch/decomposition/stored_maps.h"

namespace spar::models {

// Immutable; holds its weights on the device. One small file for each kind.
class CiFunction {
 public:
  virtual ~CiFunction() = default;

  // z of every module, [tokens, C]. `activations` are the subcomponents', by
  // module, [tokens, C]. The inputs are of whole prompts: a kind may let a
  // position see the others of its prompt, later ones too. Throws c10::Error.
  virtual std::vector<at::Tensor> Logits(
      const ModuleInputs& inputs,
      const std::vector<at::Tensor>& activations) const = 0;

  // The longest prompt; 0: any.
  virtual int max_positions() const { return 0; }
};

// The function that the decomposition's spec describes. Throws c10::Error.
std::unique_ptr<CiFunction> LoadCiFunction(const StoredTensors& tensors);

}  // namespace spar::models
