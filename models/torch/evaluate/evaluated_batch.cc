#include "models/torch/evaluate/evaluated_batch.h"

#include <utility>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

std::vector<Sequence> Sequences(std::span<const std::vector<TokenId>> rows) {
  std::vector<Sequence> sequences;
  for (const std::vector<TokenId>& row : rows) {
    sequences.push_back(WholeSequence(row));
  }
  return sequences;
}

}  // namespace

EvaluatedBatch::EvaluatedBatch(const EvaluationSubject& subject,
                               std::span<const std::vector<TokenId>> rows,
                               bool traced)
    : subject_(subject),
      sequences_(subject.decomposed->decoder(), Sequences(rows)) {
  const c10::AutoGradMode no_gradients(false);
  const Decoder& decoder = subject.decomposed->decoder();
  importances_ = subject.importances(sequences_);
  ComponentRun watched;
  if (traced) {
    clean_.outputs.resize(importances_.size());
    clean_.heads.resize(static_cast<size_t>(decoder.spec.num_layers));
    watched.see_output = [this](int module, const at::Tensor& output) {
      clean_.outputs[module] = output.clone();
    };
    watched.see_heads = [this](int layer, const at::Tensor& q,
                               const at::Tensor& k) {
      clean_.heads[layer] = {.q = q, .k = k};
    };
  }
  at::Tensor stream =
      Run(std::vector<ComponentMasks>(importances_.size()), std::move(watched));
  readout_ = std::make_unique<NextTokenReadout>(decoder, sequences_,
                                                std::move(stream));
  model_ = readout_->ReadModel();
}

at::Tensor EvaluatedBatch::Run(std::vector<ComponentMasks> masks,
                               ComponentRun watched) {
  watched.modules = MaskModules(*subject_.decomposed, std::move(masks));
  return ComponentForward(*subject_.decomposed, sequences_, watched);
}

}  // namespace spar::models
