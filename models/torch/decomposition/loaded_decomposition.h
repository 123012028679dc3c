// L1t. A decomposition on its model's device: V, U, Delta and the CI function.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include <ATen/core/Tensor.h>

#include "models/decomposition/decomposition.h"
#include "models/importances.h"
#include "models/torch/decomposed_decoder.h"
#include "models/torch/decomposition/ci_function.h"
#include "models/torch/decomposition/stream_maps.h"

namespace spar::models {

// Immutable.
class LoadedDecomposition {
 public:
  // Loads to the decoder's device and recomputes Delta from `snapshot`, the
  // decoder's own. `dtype` float32 or bfloat16 is of storage.
  //   kResourceExhausted  does not fit, with both numbers
  //   kInvalidArgument    numbers so large that all masks 1 with Delta 1 is not
  //                       the target; BAD_MODEL
  static absl::StatusOr<std::unique_ptr<LoadedDecomposition>> Load(
      const std::string& name,
      const Decomposition& decomposition,
      const Snapshot& snapshot,
      const Decoder& decoder,
      at::ScalarType dtype);

  const DecompositionInfo& info() const { return info_; }
  const DecompositionSpec& spec() const { return info_.spec; }
  // V and U, in the storage dtype.
  const std::vector<ComponentModule>& modules() const { return modules_; }
  // Delta = W - sum_c U_c V_c^T of every module, [d_out, d_in], float32,
  // outputs as in the checkpoint.
  const std::vector<at::Tensor>& deltas() const { return deltas_; }

  // The rest throws c10::Error: call inside CatchTorch.

  // a of every module, [tokens, C], float32.
  std::vector<at::Tensor> Activations(const ModuleInputs& inputs) const;
  // The logits z of every module, [tokens, C].
  std::vector<at::Tensor> Logits(
      const ModuleInputs& inputs,
      const std::vector<at::Tensor>& activations) const;
  // The causal importances g of every module, [tokens, C].
  std::vector<at::Tensor> Importances(
      const ModuleInputs& inputs,
      const std::vector<at::Tensor>& activations) const;
  // Longest prompt that the CI function takes; 0: any.
  int max_positions() const { return ci_->max_positions(); }

 private:
  void LoadModules(const StoredTensors& tensors,
                   const Snapshot& snapshot,
                   const Decoder& decoder);
  void Measure(const at::Tensor& weight,
               const ComponentModule& factors,
               const at::Tensor& delta);
  absl::Status CheckIdentity(const std::filesystem::path& folder,
                             const Snapshot& snapshot,
                             const Decoder& decoder);

  DecompositionInfo info_ = {};
  std::vector<ComponentModule> modules_ = {};
  std::vector<at::Tensor> deltas_ = {};
  StreamMaps activations_ = {};  // every V but the embedding's
  std::unique_ptr<CiFunction> ci_;
};

}  // namespace spar::models
