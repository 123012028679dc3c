// L1t. The losses that are about runs: reconstruction of every kind, and hidden
// activations.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/train/persistent_sources.h"
#include "models/torch/train/step_batch.h"
#include "models/train/train_config.h"

namespace spar::models {

// What all terms of a training share.
struct ReconSettings {
  MaskSampling sampling = MaskSampling::kContinuous;
  bool use_delta = true;
  int64_t steps = 0;
};

// One term with what it keeps between steps. One thread at a time. Throws
// c10::Error.
class ReconTerm {
 public:
  // `sources_key`: of the draws that persistent sources begin with. Batches
  // have `num_sequences` sequences of `length` positions.
  ReconTerm(const LossConfig& config,
            const ReconSettings& settings,
            const std::vector<DecomposedModule>& modules,
            int64_t num_sequences,
            int64_t length,
            const DrawKey& sources_key,
            at::Device device);

  // The loss of a step, a number without a graph. Adds its slopes times the
  // coefficient to the gradients of V, U and `g`, the importances of each
  // module, leaves that want gradients. `key`: of the step's draws.
  // Persistent sources move before the run, and by the same run's slopes after
  // it: the run goes back once for both.
  at::Tensor Add(StepBatch& batch,
                 const std::vector<at::Tensor>& g,
                 int64_t step,
                 const DrawKey& key);

  const LossConfig& config() const { return config_; }
  // Null: none.
  PersistentSources* sources() const { return sources_.get(); }

 private:
  // One run under masks of the term's kind, weighted; `key` is the run's.
  at::Tensor AddRun(StepBatch& batch,
                    const std::vector<at::Tensor>& g,
                    int only,
                    double weight,
                    const DrawKey& key);
  at::Tensor AddPersistent(StepBatch& batch,
                           const std::vector<at::Tensor>& g,
                           int64_t step,
                           const DrawKey& key);

  const LossConfig config_;
  const ReconSettings settings_;
  const std::unique_ptr<PersistentSources> sources_;
};

}  // namespace spar::models
