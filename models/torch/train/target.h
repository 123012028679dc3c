// L1t. What a decomposition is trained on: any model made of linear maps.
//
// A target lists the modules that may be decomposed and runs batches with some
// of them replaced. The trainer knows nothing else of it: a decoder is one
// target, a toy model is another.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/decomposition_spec.h"
#include "models/torch/sequences.h"

namespace spar::models {

// What a run puts in the place of modules.
struct ReplacedModules {
  std::vector<bool> which = {};  // [module]
  // What stands for W x + bias, [n, d_out] in the target's order of outputs.
  // x: what the module reads in this run, [n, d_in]; of an embedding the token
  // ids, [n]. `bias` may be undefined. Called once for each module of `which`.
  std::function<at::Tensor(
      int module, const at::Tensor& x, const at::Tensor& bias)>
      apply = nullptr;
  // `apply` gives W x + bias: later runs of the batch may begin with what this
  // one saw.
  bool is_target = false;
};

// One batch of data on a target. Rows are positions of sequences, one sequence
// after the other; without positions a sequence is one row. One thread at a
// time; ends before its target. Throws c10::Error.
class TargetBatch {
 public:
  virtual ~TargetBatch() = default;

  // The sequences as runs of equal length.
  virtual const std::vector<Run>& runs() const = 0;
  // The output of a run with these modules replaced; the others are the
  // target's. [readouts, outputs]: a row for each position, or for those alone
  // that the target is read at. Differentiable in what `apply` returns when
  // grad mode is on.
  virtual at::Tensor Forward(const ReplacedModules& modules) = 0;
};

// Immutable. Throws c10::Error.
class TrainTarget {
 public:
  virtual ~TrainTarget() = default;

  // In the order in which a run comes to them; no module reads what a later one
  // writes. Modules with the same StreamOf read the same tensor, and only
  // those. `num_components` is not read.
  virtual const std::vector<DecomposedModule>& modules() const = 0;
  // W of a module, [d_out, d_in], outputs in the target's order; float32.
  virtual at::Tensor Weight(int module) const = 0;
  // U of a module, [C, d_out], with outputs as the module's checkpoint has
  // them.
  virtual at::Tensor StoredOutputs(int module, const at::Tensor& u) const {
    static_cast<void>(module);
    return u;
  }
  // Pairs of modules whose weights are each other's transposes: the second's V
  // is the first's U, its U the first's V.
  virtual std::vector<std::pair<int, int>> tied() const { return {}; }
  virtual at::Device device() const = 0;
  // `data`: [sequences, ...] as TrainData gives it.
  virtual std::unique_ptr<TargetBatch> Start(const at::Tensor& data) const = 0;
};

// Batches in a fixed order: the position in the data is the step.
class TrainData {
 public:
  virtual ~TrainData() = default;

  // Of a step, [sequences, ...] on the CPU: token ids, long, or the inputs of a
  // toy, float32. The same for the same step. Throws c10::Error.
  virtual at::Tensor Batch(int64_t step) const = 0;
};

}  // namespace spar::models
