// L1t. What the toys have in common as targets of the trainer: float32 on the
// CPU, and batches that are one tensor.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/schedule.h"
#include "models/torch/train/target.h"

namespace spar::studies {

// A linear map of a toy: its module and its weight, [d_out, d_in].
struct ToyModule {
  models::DecomposedModule module = {};
  at::Tensor weight = {};
};

class ToyTarget : public models::TrainTarget {
 public:
  // What a module makes of the rows it reads, [rows, d_in] to [rows, d_out];
  // `bias` may be undefined.
  using Apply = std::function<at::Tensor(
      int module, const at::Tensor& x, const at::Tensor& bias)>;

  const std::vector<models::DecomposedModule>& modules() const final {
    return modules_;
  }
  at::Tensor Weight(int module) const final { return weights_[module]; }
  at::Device device() const final { return at::kCPU; }
  std::unique_ptr<models::TargetBatch> Start(
      const at::Tensor& data) const final;

  // A batch as sequences; without positions each is one row.
  virtual models::Run SequencesOf(const at::Tensor& data) const {
    return {.count = static_cast<int>(data.size(0)), .length = 1};
  }
  // The toy with `apply` in the place of its linear maps. data: as its
  // TrainData gives it.
  virtual at::Tensor Run(const at::Tensor& data, const Apply& apply) const = 0;
  // The toy as it is.
  at::Tensor Output(const at::Tensor& data) const;

 protected:
  explicit ToyTarget(std::vector<ToyModule> modules);

 private:
  std::vector<models::DecomposedModule> modules_ = {};
  std::vector<at::Tensor> weights_ = {};
};

// One module of a toy; those with the same layer and site read the same.
ToyModule MakeToyModule(std::string name,
                        models::ModuleSite site,
                        int layer,
                        const at::Tensor& weight);

// How a toy is trained: AdamW with a weight decay of 0.01.
struct ToyTraining {
  int steps = 0;
  models::Schedule rate = {};
};

// Minimises `loss` of each batch of `data`, a scalar, in the `leaves`, which
// want gradients.
void TrainToy(const ToyTraining& training,
              const models::TrainData& data,
              const std::vector<at::Tensor>& leaves,
              const std::function<at::Tensor(const at::Tensor&)>& loss);

}  // namespace spar::studies
