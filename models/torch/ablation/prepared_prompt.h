// L1t. One prompt under the masks of an ablation, ready to be run many times.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "models/torch/ablation/ablated_readout.h"
#include "models/torch/ablation/adversary.h"
#include "models/torch/ablation/mask_edits.h"
#include "models/torch/ablation/torch_ablation.h"

namespace spar::models {

// Interventions of one row beyond those of the request, and where it enters.
struct SweptRow {
  std::vector<Intervention> interventions = {};
};

// Not thread-safe. Throws c10::Error: call inside CatchTorch, outside any
// InferenceMode.
class PreparedPrompt {
 public:
  // `tokens`: of the model's own run; the masked ones have the request's edits.
  // `sample` names the random draws. All references outlive this.
  static absl::StatusOr<std::unique_ptr<PreparedPrompt>> Make(
      const AblationSubject& subject,
      const AblationRequest& request,
      const AblationLimits& limits,
      std::vector<TokenId> tokens,
      uint64_t sample);

  const AblatedReadout& readout() const { return *readout_; }

  // One step of what the masks still need; false: they need nothing, and rows
  // can be run.
  bool Prepare();

  // Other draws of stochastic masks.
  void Redraw(uint64_t sample);

  // Logits at the positions read, [rows * positions, vocab], one row for each
  // list of interventions, which are made after the request's own. `rows` fit
  // RowsPerBatch.
  at::Tensor Run(std::span<const SweptRow> rows);

  int64_t RowsPerBatch() const;

 private:
  PreparedPrompt(const AblationSubject& subject,
                 const AblationRequest& request,
                 const AblationLimits& limits)
      : subject_(subject), request_(request), limits_(limits) {}

  SequenceBatch Batch(size_t rows) const;
  at::Tensor LogitsOf(const at::Tensor& stream) const;
  // One run with the request's interventions on `masks`.
  at::Tensor RunAlone(
      std::vector<ComponentMasks> masks,
      const std::function<void(int, const at::Tensor&)>& see_stream);
  void KeepStreams();
  at::Tensor RunFrom(int layer, std::span<const SweptRow* const> rows);
  int EntryOf(const SweptRow& row) const;

  const AblationSubject& subject_;
  const AblationRequest& request_;
  const AblationLimits& limits_;
  std::vector<TokenId> masked_tokens_ = {};  // with the edits
  std::vector<at::Tensor> importances_ = {};
  std::unique_ptr<AblatedReadout> readout_ = nullptr;
  std::unique_ptr<Attack> attack_ = nullptr;  // while it goes on
  std::vector<ComponentMasks> masks_ = {};    // before any intervention
  // Of the run with the request's interventions alone: the stream before each
  // layer, [tokens, width]; empty until a row enters late.
  std::vector<at::Tensor> streams_ = {};
};

}  // namespace spar::models
