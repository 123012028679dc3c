// L1t. Trains a decomposition of any target: the recipe of "Interpreting
// Language Model Parameters" and what it grew from, with every loss of
// models/train/train_config.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/adamw.h"
#include "models/torch/train/ci_weights.h"
#include "models/torch/train/factors.h"
#include "models/torch/train/recon_term.h"
#include "models/torch/train/target.h"
#include "models/train/train_config.h"
#include "models/training.h"

namespace spar::models {

// Note [A step of training]
// The target runs once. The CI function gives logits z, and with them the
// importances g, which are leaves: the masks of all runs are made of them, and
// each run goes back to them as soon as it has gone forth. Minimality has its
// slopes in closed form, and so has faithfulness, which is about V and U alone.
// At the end all slopes in z go back through the CI function at once, the
// gradients of V and U and those of the CI function are clipped apart, and one
// AdamW step moves each. All draws are functions of the seed, the step and
// their use, so a checkpoint holds no state of a generator, and batches are
// functions of the step.
class Trainer final : public Training {
 public:
  // `target` and `data` outlive this; `spec` has the target's modules, all of
  // them, in their order.
  // Throws c10::Error.
  Trainer(const TrainTarget& target,
          const TrainData& data,
          TrainConfig config,
          DecompositionSpec spec);

  bool done() const override { return step_ == config_.steps; }
  int64_t step() const override { return step_; }
  absl::StatusOr<TrainProgress> Next() override;
  absl::Status Save(const std::filesystem::path& folder) const override;
  absl::Status Restore(const std::filesystem::path& folder) override;
  absl::Status Export(const std::filesystem::path& folder) const override;

  const TrainedFactors& factors() const { return factors_; }
  const CiWeights& ci() const { return ci_; }
  // Every loss of the present step on `data`, and its slopes left in the
  // gradients of the leaves: a step without its end. Throws c10::Error.
  TrainProgress Accumulate(const at::Tensor& data);
  // Lower importances g of every module on `data`, [rows, C], as they would be
  // at inference. Throws c10::Error.
  std::vector<at::Tensor> Importances(const at::Tensor& data) const;

 private:
  struct Logits;

  Logits LogitsOf(StepBatch& batch) const;
  TrainProgress WarmUp();
  absl::Status Finish(TrainProgress& progress);
  void AddRecon(StepBatch& batch,
                const std::vector<at::Tensor>& g,
                TrainProgress& progress);
  // Adds the slopes in h to `slopes`, by module.
  void AddPrices(const Logits& logits,
                 std::vector<at::Tensor>& slopes,
                 TrainProgress& progress) const;
  void CountActivity(const std::vector<at::Tensor>& g, TrainProgress& progress);
  // Whether leaky_slopes.h has the slopes.
  bool IsLeakyOnHost() const;
  TrainTerm TermOf(size_t index, double value) const;

  std::map<std::string, at::Tensor> State() const;
  std::map<std::string, int64_t> Counters() const;

  const TrainTarget& target_;
  const TrainData& data_;
  const TrainConfig config_;
  const DecompositionSpec spec_;
  TrainedFactors factors_;
  CiWeights ci_;
  AdamW component_adam_, ci_adam_;
  std::unique_ptr<AdamW> warmup_adam_;                       // null: over
  std::map<size_t, std::unique_ptr<ReconTerm>> recon_ = {};  // by loss
  // [module]: of each subcomponent the last step at which it was alive,
  // counted from 1; 0: never. float32.
  std::vector<at::Tensor> fired_ = {};
  int64_t warmup_done_ = 0;
  int64_t step_ = 0;
  double mean_seconds_ = 0;                 // of recent steps
  absl::Status failed_ = absl::OkStatus();  // final
};

}  // namespace spar::models
