#include "models/torch/ablation/prepared_prompt.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/status.h"
#include "models/ablation_check.h"
#include "models/torch/ablation/strategy_masks.h"
#include "models/torch/aten.h"
#include "models/torch/masked_forward.h"

namespace spar::models {
namespace {

constexpr int64_t kMaxRows = 256;

}  // namespace

absl::StatusOr<std::unique_ptr<PreparedPrompt>> PreparedPrompt::Make(
    const AblationSubject& subject,
    const AblationRequest& request,
    const AblationLimits& limits,
    std::vector<TokenId> tokens,
    uint64_t sample) {
  const c10::AutoGradMode no_gradients(false);
  std::unique_ptr<PreparedPrompt> prompt(
      new PreparedPrompt(subject, request, limits));
  {
    const Decoder& decoder = *subject.model;
    SequenceBatch batch(decoder, {WholeSequence(tokens)});
    MaskOptions options;
    options.last_only = !request.every_position;
    const at::Tensor stream = MaskedForward(decoder, batch, options);
    prompt->readout_ = std::make_unique<AblatedReadout>(
        request, tokens, Logits(decoder, stream));
  }
  prompt->masked_tokens_ = std::move(tokens);
  for (const TokenEdit& edit : request.edits) {
    prompt->masked_tokens_[edit.position] = edit.token;
  }
  if (NeedsImportances(request.strategy)) {
    ASSIGN_OR_RETURN(prompt->importances_,
                     subject.importances(prompt->masked_tokens_));
  }
  if (request.strategy == MaskStrategy::kAdversarial) {
    prompt->attack_ = std::make_unique<Attack>(request, prompt->importances_);
  } else {
    prompt->Redraw(sample);
  }
  return prompt;
}

void PreparedPrompt::Redraw(uint64_t sample) {
  const c10::AutoGradMode no_gradients(false);
  masks_ = StrategyMasks(request_, *subject_.decomposed, subject_.sampling,
                         importances_, sample);
  streams_.clear();
}

SequenceBatch PreparedPrompt::Batch(size_t rows) const {
  return SequenceBatch(
      subject_.decomposed->decoder(),
      std::vector<Sequence>(rows, WholeSequence(masked_tokens_)));
}

at::Tensor PreparedPrompt::LogitsOf(const at::Tensor& stream) const {
  return Logits(subject_.decomposed->decoder(), stream);
}

at::Tensor PreparedPrompt::RunAlone(
    std::vector<ComponentMasks> masks,
    const std::function<void(int, const at::Tensor&)>& see_stream) {
  const Decoder& decoder = subject_.decomposed->decoder();
  MaskEdits edits(decoder, 1, static_cast<int>(masked_tokens_.size()));
  for (const Intervention& intervention : request_.interventions) {
    edits.Add(0, intervention);
  }
  ComponentRun run;
  run.modules =
      MaskModules(*subject_.decomposed, edits.Apply(std::move(masks)));
  run.heads = edits.Heads(decoder);
  run.neurons = edits.Neurons(decoder);
  run.last_only = !request_.every_position;
  run.see_stream = see_stream;
  SequenceBatch batch = Batch(1);
  return ComponentForward(*subject_.decomposed, batch, run);
}

bool PreparedPrompt::Prepare() {
  if (attack_ == nullptr) return false;
  if (!attack_->done()) {
    attack_->Step([this](std::vector<ComponentMasks> masks) {
      return readout_
          ->Divergences(LogitsOf(RunAlone(std::move(masks), nullptr)))
          .mean();
    });
    return true;
  }
  masks_ = attack_->masks();
  attack_ = nullptr;
  return false;
}

void PreparedPrompt::KeepStreams() {
  if (!streams_.empty()) return;
  streams_.resize(
      static_cast<size_t>(subject_.decomposed->decoder().spec.num_layers));
  RunAlone(masks_, [this](int layer, const at::Tensor& stream) {
    streams_[layer] = stream;
  });
}

int PreparedPrompt::EntryOf(const SweptRow& row) const {
  int entry = subject_.decomposed->decoder().spec.num_layers - 1;
  for (const Intervention& intervention : row.interventions) {
    entry = std::min(entry, FirstLayer(*subject_.decomposed, intervention));
  }
  return limits_.enter_late ? entry : -1;
}

at::Tensor PreparedPrompt::Run(std::span<const SweptRow> rows) {
  const c10::InferenceMode inference;
  std::map<int, std::vector<int64_t>> by_entry;
  for (size_t r = 0; r < rows.size(); ++r) {
    const bool alone = rows[r].interventions.empty();
    by_entry[alone ? -1 : EntryOf(rows[r])].push_back(static_cast<int64_t>(r));
  }
  std::vector<at::Tensor> logits;
  std::vector<int64_t> order;
  for (const auto& [entry, members] : by_entry) {
    std::vector<const SweptRow*> some;
    for (const int64_t r : members) some.push_back(&rows[r]);
    logits.push_back(LogitsOf(RunFrom(entry, some)));
    order.insert(order.end(), members.begin(), members.end());
  }
  if (logits.size() == 1) return logits[0];
  std::vector<int64_t> back(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    back[order[i]] = static_cast<int64_t>(i);
  }
  const int64_t count = static_cast<int64_t>(rows.size());
  const at::Tensor all = at::cat(logits);
  return all.view({count, -1, all.size(1)})
      .index_select(0, at::tensor(back, at::dtype(at::kLong)).to(all.device()))
      .flatten(0, 1);
}

at::Tensor PreparedPrompt::RunFrom(int layer,
                                   std::span<const SweptRow* const> rows) {
  const Decoder& decoder = subject_.decomposed->decoder();
  const int64_t num_rows = static_cast<int64_t>(rows.size());
  MaskEdits edits(decoder, static_cast<int>(num_rows),
                  static_cast<int>(masked_tokens_.size()));
  for (int r = 0; r < num_rows; ++r) {
    for (const auto* const list :
         {&request_.interventions, &rows[r]->interventions}) {
      for (const Intervention& intervention : *list) {
        edits.Add(r, intervention);
      }
    }
  }
  ComponentRun run;
  run.modules = MaskModules(*subject_.decomposed, edits.Apply(masks_));
  run.heads = edits.Heads(decoder);
  run.neurons = edits.Neurons(decoder);
  run.last_only = !request_.every_position;
  if (layer >= 0) {
    KeepStreams();
    run.first_layer = layer;
    run.stream = streams_[layer].repeat({num_rows, 1});
  }
  SequenceBatch batch = Batch(rows.size());
  return ComponentForward(*subject_.decomposed, batch, run);
}

int64_t PreparedPrompt::RowsPerBatch() const {
  const DecoderSpec& spec = subject_.decomposed->decoder().spec;
  const int64_t tokens = static_cast<int64_t>(masked_tokens_.size());
  int64_t per_token = 8 * int64_t{spec.width} + 3 * int64_t{spec.mlp_width};
  for (const ComponentMasks& masks : masks_) {
    if (masks.values.defined()) per_token += 2 * masks.values.size(1);
  }
  const size_t length = masked_tokens_.size();
  const int64_t changes = 1 + tokens +
                          MaskChanges(request_.interventions, length) +
                          (request_.sweep == SweepKind::kCumulative
                               ? MaskChanges(request_.swept, length)
                               : 0);
  const int64_t read = request_.every_position ? tokens : 1;
  const int64_t bytes =
      4 * (tokens * per_token + 4 * read * int64_t{spec.vocab_size});
  return std::clamp<int64_t>(
      std::min({limits_.max_batch_tokens / tokens,
                limits_.max_batch_bytes / bytes, kMaxMaskChanges / changes}),
      1, kMaxRows);
}

}  // namespace spar::models
