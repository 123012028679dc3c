// L1t. Projected gradient ascent on masks (VPD; `spd`'s PGDReconLoss).
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/ablation.h"
#include "models/torch/component_masks.h"

namespace spar::models {

// Finds m = g + (1 - g) s and d = s' with the sources s, s' in [0, 1] that hurt
// most. A source of 0 leaves m = g: the adversary adds to what matters, it
// takes nothing away. With request.delta d is that number and no source. Throws
// c10::Error; outside any InferenceMode.
class Attack {
 public:
  // Of a run under such masks: one number, differentiable in them.
  using Loss = std::function<at::Tensor(std::vector<ComponentMasks>)>;

  // `importances`: g of every module, [tokens, C]; ordinary tensors. Both
  // arguments outlive this.
  Attack(const AblationRequest& request,
         const std::vector<at::Tensor>& importances);
  ~Attack();

  bool done() const;
  // One step of one restart.
  void Step(const Loss& loss);
  // The worst masks of all restarts, once done.
  const std::vector<ComponentMasks>& masks() const { return worst_; }

 private:
  class Sources;

  const AblationRequest& request_;
  const std::vector<at::Tensor>& importances_;
  int restart_ = 0;
  int step_ = 0;                      // of this restart
  std::unique_ptr<Sources> sources_;  // of this restart; null: not begun
  std::vector<ComponentMasks> worst_ = {};
  double worst_loss_ = -std::numeric_limits<double>::infinity();
};

}  // namespace spar::models
