// L1t. One step's batch: the target's clean run, and masked runs of it, back
// and forth.
//
// Runs stop at leaves that they share: the importances, and the activations of
// modules that read what they read in the clean run. So each run goes back as
// soon as it has gone forth, and what lies behind the leaves (V, and the CI
// function) goes back once for all of them: Finish.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/decomposition/module_inputs.h"
#include "models/torch/train/factors.h"
#include "models/torch/train/output_loss.h"
#include "models/torch/train/run_masks.h"
#include "models/torch/train/target.h"

namespace spar::models {

// One thread at a time. Throws c10::Error.
class StepBatch {
 public:
  // Runs the target. `factors` outlives this. `keep_outputs`: also what each
  // module writes, for HiddenActs.
  StepBatch(const TrainTarget& target,
            const TrainedFactors& factors,
            const at::Tensor& data,
            OutputDistance distance,
            bool keep_outputs);

  const TrainedFactors& factors() const { return factors_; }
  const ModuleInputs& inputs() const { return inputs_; }
  int64_t num_sequences() const { return num_sequences_; }
  int64_t rows() const { return rows_; }
  at::Device device() const { return device_; }

  // a = x V of a module on what it reads in the clean run, [rows, C]; its graph
  // ends in V.
  const at::Tensor& CleanActivations(size_t m);

  // The distance of a run from the clean one, a number without a graph. Adds
  // `weight` times its slopes to the gradients of V, U and whatever leaves the
  // masks are made of.
  at::Tensor Recon(const RunMasks& masks, double weight);
  // The same with V and U as constants and weight 1: adds slopes to the
  // gradients of `leaves` alone. Makes the masks with grad mode on.
  void Attack(const std::function<RunMasks()>& make_masks,
              const std::vector<at::Tensor>& leaves);
  // The mean square difference of what modules write, over all entries of all
  // modules.
  at::Tensor HiddenActs(const RunMasks& masks, double weight);

  // Adds to the sum that goes back at the end: slopes in CleanActivations are
  // of Recon and HiddenActs; `roots` and their slopes are the caller's.
  void Finish(const std::vector<at::Tensor>& roots,
              const std::vector<at::Tensor>& slopes);

 private:
  // A run, forth. `outputs`, where it is not null, gets what modules write.
  at::Tensor Forward(const RunMasks& masks,
                     bool constant_factors,
                     std::vector<at::Tensor>* outputs);
  at::Tensor Write(const ModuleMask& mask,
                   size_t m,
                   const at::Tensor& x,
                   const at::Tensor& bias,
                   bool reads_clean,
                   bool constant_factors);
  // The leaf that stands for CleanActivations(m) in runs.
  const at::Tensor& CleanLeaf(size_t m);

  const TrainedFactors& factors_;
  const at::Device device_;
  const int64_t num_sequences_;
  const std::unique_ptr<TargetBatch> batch_;
  ModuleInputs inputs_ = {};
  int64_t rows_ = 0;
  std::vector<at::Tensor> outputs_ = {};  // of modules; empty: not kept
  // W x of modules that read what the first one reads: in most runs they read
  // the same again. Undefined for the others.
  std::vector<at::Tensor> products_;
  std::unique_ptr<OutputLoss> loss_;
  std::vector<at::Tensor> clean_, clean_leaves_;  // undefined until wanted
};

}  // namespace spar::models
