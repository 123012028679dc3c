// Test support: a training step as the definitions read, by automatic
// differentiation alone. Every loss has runs of its own, a replaced module
// multiplies W, V, U and Delta, Delta is made anew with its graph, and sources
// go back by themselves. Slow, and the truth for Trainer; benches measure
// against it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/adamw.h"
#include "models/torch/train/draws.h"
#include "models/torch/train/trainer.h"

namespace spar::models {

class PlainRecipe {
 public:
  // Begins with copies of the trainer's weights, before its first step.
  PlainRecipe(const TrainTarget& target,
              const TrainConfig& config,
              const DecompositionSpec& spec,
              const Trainer& begin);

  // The value of every loss; leaves the slopes of their sum in the gradients.
  std::vector<double> Accumulate(const at::Tensor& data, int64_t step);
  // Clips and moves V, U and the CI function's weights.
  void Move(int64_t step);

  const std::vector<at::Tensor>& v() const { return v_; }
  const std::vector<at::Tensor>& u() const { return u_; }
  const std::map<std::string, at::Tensor>& ci() const { return ci_; }

 private:
  struct Source {
    at::Tensor x = {};  // [..., C + 1], as the scope has it
    at::Tensor mean = {}, square = {};
  };
  struct Mask {
    at::Tensor m = {};       // [rows or 1, C]
    at::Tensor delta = {};   // [rows or 1, 1]; undefined: no Delta
    at::Tensor routed = {};  // bool [rows, 1]; undefined: all
  };
  using Masks = std::map<size_t, Mask>;

  struct Step;
  at::Tensor Run(Step& step, const Masks& masks, std::vector<at::Tensor>* seen);
  at::Tensor Distance(Step& step, const at::Tensor& output) const;
  at::Tensor Recon(Step& step, const LossConfig& loss, const DrawKey& key);
  at::Tensor HiddenActs(Step& step, const DrawKey& key);
  Masks Stochastic(Step& step, int only, const DrawKey& key) const;
  Masks Sourced(Step& step,
                int only,
                const std::vector<at::Tensor>& sources) const;
  void Route(const Routing& routing,
             const DrawKey& key,
             int64_t rows,
             Masks& masks) const;
  at::Tensor Pgd(Step& step,
                 const LossConfig& loss,
                 const DrawKey& key,
                 int only);
  at::Tensor Persistent(Step& step, size_t index, const DrawKey& key);
  void Ascend(const LossConfig& loss,
              int64_t step,
              const std::vector<at::Tensor>& gradients,
              size_t index);
  std::vector<at::Tensor> Spread(Step& step,
                                 const LossConfig& loss,
                                 size_t index) const;
  std::vector<at::Tensor> Leaves() const;

  const TrainTarget& target_;
  const TrainConfig config_;
  const DecompositionSpec spec_;
  std::vector<at::Tensor> w_, v_, u_;
  std::map<std::string, at::Tensor> ci_;
  std::map<size_t, std::vector<Source>> sources_ = {};  // by loss
  std::map<size_t, int> ascents_ = {};
  std::unique_ptr<AdamW> components_adam_, ci_adam_;
};

}  // namespace spar::models
