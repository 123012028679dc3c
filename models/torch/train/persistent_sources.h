// L1t. Sources of an adversary that live as long as training does.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/decomposition_spec.h"
#include "models/torch/train/draws.h"
#include "models/torch/train/run_masks.h"
#include "models/train/train_config.h"

namespace spar::models {

// One thread at a time. Throws c10::Error.
class PersistentSources {
 public:
  // For batches of `num_sequences` sequences of `length` positions. They begin
  // uniform in [0, 1]; with `sigmoid` as the logistic of normal numbers.
  PersistentSources(const PersistentPgdConfig& config,
                    const std::vector<DecomposedModule>& modules,
                    int64_t num_sequences,
                    int64_t length,
                    bool use_delta,
                    const DrawKey& key,
                    at::Device device);

  // What they choose for each row of a batch, differentiable in the leaves.
  std::vector<ModuleSources> OfRows() const;
  const std::vector<at::Tensor>& leaves() const { return leaves_; }
  // Moves the leaves along `scale`, above 0, times their gradients, which it
  // clears, and back into [0, 1]. By sign, s += rate * sign(grad); else as
  // Adam.
  void Ascend(double rate, double scale);

  // Names to tensors of all that ascents depend on, and the number of ascents.
  std::map<std::string, at::Tensor> State() const;
  int ascents() const { return ascents_; }
  void SetAscents(int ascents) { ascents_ = ascents; }

 private:
  const PersistentPgdConfig config_;
  const std::vector<DecomposedModule> modules_;
  const bool use_delta_;
  int64_t copies_ = 1;  // of the leaves' rows in a batch; 1: they broadcast
  // [module]: s; then with Delta d of each.
  std::vector<at::Tensor> leaves_ = {};
  std::vector<at::Tensor> means_ = {}, squares_ = {};  // Adam's
  int ascents_ = 0;
};

}  // namespace spar::models
