// L1t. One batch of rows: what the model does with it, ready to be compared.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/component_forward.h"
#include "models/torch/evaluate/attention_patterns.h"
#include "models/torch/evaluate/evaluation_subject.h"
#include "models/torch/evaluate/next_token_readout.h"

namespace spar::models {

// Of the model's own run.
struct CleanTrace {
  std::vector<at::Tensor> outputs = {};  // [module]: [tokens, d_out]
  std::vector<LayerHeads> heads = {};    // [layer]
};

// Throws c10::Error; outside any InferenceMode. The subject outlives this.
class EvaluatedBatch {
 public:
  // `traced`: keeps the clean trace.
  EvaluatedBatch(const EvaluationSubject& subject,
                 std::span<const std::vector<TokenId>> rows,
                 bool traced);

  // g of every module, [tokens, C].
  const std::vector<at::Tensor>& importances() const { return importances_; }
  const NextTokenReadout& readout() const { return *readout_; }
  const ReadingSums& model() const { return model_; }
  const CleanTrace& clean() const { return clean_; }
  SequenceBatch& sequences() { return sequences_; }
  const Decoder& decoder() const { return subject_.decomposed->decoder(); }

  // The stream behind the last layer under masks, one for each module.
  // `watched` adds what the run is to show; differentiable as ComponentForward.
  at::Tensor Run(std::vector<ComponentMasks> masks, ComponentRun watched = {});

 private:
  const EvaluationSubject& subject_;
  SequenceBatch sequences_;
  std::vector<at::Tensor> importances_ = {};
  CleanTrace clean_ = {};
  std::unique_ptr<NextTokenReadout> readout_ = nullptr;
  ReadingSums model_ = {};
};

}  // namespace spar::models
