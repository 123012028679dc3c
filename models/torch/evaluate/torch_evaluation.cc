#include "models/torch/evaluate/torch_evaluation.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "base/status.h"
#include "models/torch/errors.h"
#include "models/torch/evaluate/attack_pass.h"
#include "models/torch/evaluate/reconstruction_pass.h"

namespace spar::models {
namespace {

using base::Cat;

// What one token of a batch holds at once, generously: importances, masks and
// what multiplies activations; the outputs of all modules; a layer's values, or
// under attack those of all layers, for the way back.
int64_t BytesPerToken(const EvaluationSubject& subject, bool attacked) {
  const DecoderSpec& decoder = subject.decomposed->decoder().spec;
  const DecompositionSpec& spec = subject.info->spec;
  const int64_t layer = 16 * int64_t{decoder.width} + 6 * decoder.mlp_width;
  int64_t floats = (attacked ? 10 : 5) * spec.num_components();
  floats += attacked ? layer * decoder.num_layers : layer;
  for (const DecomposedModule& module : spec.modules) floats += module.d_out;
  return floats * int64_t{sizeof(float)};
}

class TorchEvaluation final : public Evaluation {
 public:
  TorchEvaluation(const EvaluationSubject& subject,
                  const EvaluationRequest& request)
      : subject_(subject),
        request_(request),
        batches_(EvaluationBatches(request)) {
    passes_.push_back(
        std::make_unique<ReconstructionPass>(subject_, request_, kAllModules));
    for (size_t i = 0; i < request.subsets.size(); ++i) {
      passes_.push_back(std::make_unique<ReconstructionPass>(
          subject_, request_, static_cast<int>(i)));
    }
    if (request_.attack.has_value()) {
      for (const AttackScope scope : request_.attack->scopes) {
        passes_.push_back(
            std::make_unique<AttackPass>(subject_, request_, scope));
      }
    }
    for (const auto& pass : passes_) {
      state_.max_steps += CountBatches(*pass) * (1 + pass->StepsPerBatch());
    }
  }

  bool done() const override { return next_pass_ == passes_.size(); }
  const EvaluationState& state() const override { return state_; }

  absl::StatusOr<std::vector<EvaluationPart>> Next() override {
    std::vector<EvaluationPart> parts;
    if (done()) return parts;
    RETURN_IF_ERROR(failed_);
    if (state_.steps == 0) parts.emplace_back(FaithfulnessOf(*subject_.info));
    failed_ = CatchTorch("evaluating", [&] {
      Advance(parts);
      return absl::OkStatus();
    });
    RETURN_IF_ERROR(failed_);
    return parts;
  }

 private:
  int64_t CountBatches(const EvaluationPass& pass) const {
    return pass.CountBatches(std::ssize(batches_));
  }

  void Advance(std::vector<EvaluationPart>& parts) {
    EvaluationPass& pass = *passes_[next_pass_];
    state_.phase = pass.phase();
    ++state_.steps;
    if (batch_ == nullptr) {
      const auto [first, last] = batches_[next_batch_];
      batch_ = std::make_unique<EvaluatedBatch>(
          subject_, std::span(request_.rows).subspan(first, last - first),
          pass.needs_trace());
      pass.Begin(*batch_, next_batch_);
      next_step_ = 0;
      return;
    }
    pass.Step(*batch_, next_step_);
    if (++next_step_ < pass.StepsPerBatch()) return;
    batch_ = nullptr;
    if (++next_batch_ < CountBatches(pass)) return;
    for (EvaluationPart& part : pass.Finish()) parts.push_back(std::move(part));
    next_batch_ = 0;
    ++next_pass_;
  }

  const EvaluationSubject subject_;
  const EvaluationRequest request_;
  const std::vector<std::pair<size_t, size_t>> batches_;
  std::vector<std::unique_ptr<EvaluationPass>> passes_ = {};
  EvaluationState state_ = {};
  size_t next_pass_ = 0;
  int64_t next_batch_ = 0;
  int64_t next_step_ = 0;                            // of the batch
  std::unique_ptr<EvaluatedBatch> batch_ = nullptr;  // under way
  absl::Status failed_ = absl::OkStatus();           // final
};

}  // namespace

absl::StatusOr<std::unique_ptr<Evaluation>> MakeTorchEvaluation(
    const EvaluationSubject& subject,
    const EvaluationRequest& request,
    const EvaluationLimits& limits) {
  int64_t tokens = 0;
  for (const auto& [first, last] : EvaluationBatches(request)) {
    int64_t of_batch = 0;
    for (size_t row = first; row < last; ++row) {
      of_batch += std::ssize(request.rows[row]);
    }
    tokens = std::max(tokens, of_batch);
  }
  const int64_t bytes =
      tokens * BytesPerToken(subject, request.attack.has_value());
  if (bytes > limits.max_batch_bytes) {
    return base::Error(
        absl::StatusCode::kResourceExhausted,
        Cat("a batch of ", tokens, " tokens needs about ", bytes, " bytes, ",
            limits.max_batch_bytes, " may be used: ask for fewer rows in one"),
        {.reason = "EVALUATION_TOO_LARGE",
         .field = "options.batch_row_count",
         .metadata = {{"token_count", Cat(tokens)},
                      {"bytes", Cat(bytes)},
                      {"max_bytes", Cat(limits.max_batch_bytes)}}});
  }
  return std::make_unique<TorchEvaluation>(subject, request);
}

}  // namespace spar::models
