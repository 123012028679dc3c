#include "models/torch/ablation/torch_ablation.h"

#include <algorithm>
#include <utility>

#include "base/splitmix64.h"
#include "base/status.h"
#include "models/torch/ablation/prepared_prompt.h"
#include "models/torch/ablation/strategy_masks.h"
#include "models/torch/aten.h"
#include "models/torch/errors.h"
#include "models/torch/recomposition.h"

namespace spar::models {
namespace {

bool IsOfUnit(const Intervention& intervention) {
  return intervention.kind == InterventionKind::kHead ||
         intervention.kind == InterventionKind::kNeuron;
}

// Whether no position's masks on a decomposition differ from another's.
bool SharedByPositions(const AblationRequest& request) {
  if (NeedsImportances(request.strategy)) return false;
  for (const Intervention& intervention : request.interventions) {
    if (!IsOfUnit(intervention) && intervention.position != kEveryPosition) {
      return false;
    }
  }
  return true;
}

// Runs of one prompt: for each sample the run with the request's interventions
// alone, then the steps.
class SweptAblation final : public Ablation {
 public:
  SweptAblation(const AblationSubject& subject,
                const AblationRequest& request,
                const AblationLimits& limits)
      : subject_(subject), request_(request), limits_(limits) {}

  absl::Status Begin() {
    return CatchTorch("preparing an ablation", [&] {
      ASSIGN_OR_RETURN(prompt_,
                       PreparedPrompt::Make(subject_, request_, limits_,
                                            request_.tokens, /*sample=*/0));
      return absl::OkStatus();
    });
  }

  const std::vector<AblatedPosition>& baseline() const override {
    return prompt_->readout().baseline();
  }
  int64_t num_rows() const override {
    return request_.samples * RowsPerSample();
  }
  bool done() const override { return next_ >= num_rows(); }

  absl::StatusOr<std::vector<AblationRow>> Next(int max_rows) override {
    std::vector<AblationRow> rows;
    if (done()) return rows;
    RETURN_IF_ERROR(CatchTorch("ablating", [&] {
      if (!prompt_->Prepare()) rows = Some(max_rows);
      return absl::OkStatus();
    }));
    return rows;
  }

 private:
  int64_t RowsPerSample() const {
    return 1 + static_cast<int64_t>(request_.swept.size());
  }

  std::vector<AblationRow> Some(int max_rows) {
    const int64_t sample = next_ / RowsPerSample();
    const int64_t first = next_ % RowsPerSample();
    if (first == 0 && sample > 0) {
      prompt_->Redraw(static_cast<uint64_t>(sample));
    }
    const int64_t count =
        std::min({int64_t{std::max(max_rows, 1)}, prompt_->RowsPerBatch(),
                  RowsPerSample() - first});
    std::vector<SweptRow> swept;
    std::vector<AblationRow> rows;
    for (int64_t i = first; i < first + count; ++i) {
      rows.push_back({.step = i - 1, .sample = static_cast<int>(sample)});
      swept.push_back({.interventions = InterventionsOf(i - 1)});
    }
    const at::Tensor logits = prompt_->Run(swept);
    auto read = prompt_->readout().Read(logits);
    for (size_t i = 0; i < rows.size(); ++i) {
      rows[i].positions = std::move(read[i]);
    }
    next_ += count;
    return rows;
  }

  std::vector<Intervention> InterventionsOf(int64_t step) const {
    if (step < 0) return {};
    const auto begin = request_.swept.begin();
    const int64_t first = request_.sweep == SweepKind::kEach ? step : 0;
    return {begin + first, begin + step + 1};
  }

  const AblationSubject subject_;
  const AblationRequest request_;
  const AblationLimits limits_;
  std::unique_ptr<PreparedPrompt> prompt_ = nullptr;
  int64_t next_ = 0;
};

// Token by token, each under the masks of the prompt so far.
class GenerativeAblation final : public Ablation {
 public:
  GenerativeAblation(const AblationSubject& subject,
                     const AblationRequest& request,
                     const AblationLimits& limits)
      : subject_(subject),
        request_(request),
        limits_(limits),
        tokens_(request.tokens) {}

  absl::Status Begin() {
    if (SharedByPositions(request_)) {
      RETURN_IF_ERROR(CatchTorch("recomposing weights", [&] {
        Recompose();
        return absl::OkStatus();
      }));
    }
    return CatchTorch("preparing a generation", [&] {
      RETURN_IF_ERROR(ReadTokens());
      baseline_ = prompt_->readout().baseline();
      return absl::OkStatus();
    });
  }

  const std::vector<AblatedPosition>& baseline() const override {
    return baseline_;
  }
  int64_t num_rows() const override { return request_.generation.max_tokens; }
  bool done() const override { return step_ >= num_rows(); }

  absl::StatusOr<std::vector<AblationRow>> Next(int /*max_rows*/) override {
    std::vector<AblationRow> rows;
    if (done()) return rows;
    RETURN_IF_ERROR(CatchTorch("generating under masks", [&] {
      if (prompt_ == nullptr) {
        RETURN_IF_ERROR(ReadTokens());
      }
      if (!prompt_->Prepare()) rows.push_back(Generate());
      return absl::OkStatus();
    }));
    return rows;
  }

 private:
  // Masks that no position changes: the weights are recomposed once, and every
  // token runs on them.
  void Recompose() {
    const c10::AutoGradMode no_gradients(false);
    DecomposedDecoder& decomposed = *subject_.decomposed;
    MaskEdits edits(decomposed.decoder(), 1, 1);
    std::vector<Intervention> others;
    for (const Intervention& intervention : request_.interventions) {
      if (IsOfUnit(intervention)) {
        others.push_back(intervention);
      } else {
        edits.Add(0, intervention);
      }
    }
    recomposed_ = RecomposedDecoder(
        decomposed, edits.Apply(StrategyMasks(request_, decomposed,
                                              subject_.sampling, {}, 0)));
    bare_ = std::make_unique<DecomposedDecoder>(recomposed_,
                                                std::vector<ComponentModule>());
    subject_.decomposed = bare_.get();
    request_.interventions = std::move(others);
  }

  // The tokens so far, ready to be run.
  absl::Status ReadTokens() {
    ASSIGN_OR_RETURN(prompt_,
                     PreparedPrompt::Make(subject_, request_, limits_, tokens_,
                                          static_cast<uint64_t>(step_)));
    return absl::OkStatus();
  }

  AblationRow Generate() {
    AblationRow row{.step = step_};
    const SweptRow alone;
    const at::Tensor logits = prompt_->Run(std::span(&alone, 1));
    row.positions = prompt_->readout().Read(logits).front();
    row.generated = Choose(logits);
    tokens_.push_back(*row.generated);
    prompt_ = nullptr;
    ++step_;
    return row;
  }

  TokenId Choose(const at::Tensor& logits) const {
    const double temperature = request_.generation.temperature;
    if (temperature == 0) {
      return static_cast<TokenId>(logits.argmax(1).item<int64_t>());
    }
    const at::Tensor p =
        (logits.to(at::kCPU, at::kDouble) / temperature).softmax(1);
    const double* const begin = p.const_data_ptr<double>();
    const uint64_t bits = base::SplitMix64(base::SplitMix64(request_.seed) +
                                           static_cast<uint64_t>(step_));
    double left = static_cast<double>(bits >> 11) /
                  static_cast<double>(uint64_t{1} << 53);
    const int64_t vocab = p.numel();
    int64_t token = 0;
    while (token + 1 < vocab && left >= begin[token]) left -= begin[token++];
    return static_cast<TokenId>(token);
  }

  AblationSubject subject_;
  AblationRequest request_;
  const AblationLimits limits_;
  Decoder recomposed_ = {};
  std::unique_ptr<DecomposedDecoder> bare_ = nullptr;  // of recomposed_
  std::vector<TokenId> tokens_;
  std::vector<AblatedPosition> baseline_ = {};
  std::unique_ptr<PreparedPrompt> prompt_ = nullptr;  // of tokens_
  int64_t step_ = 0;                                  // of the next token
};

template <typename Kind>
absl::StatusOr<std::unique_ptr<Ablation>> Begin(const AblationSubject& subject,
                                                const AblationRequest& request,
                                                const AblationLimits& limits) {
  auto ablation = std::make_unique<Kind>(subject, request, limits);
  RETURN_IF_ERROR(ablation->Begin());
  return ablation;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Ablation>> MakeTorchAblation(
    const AblationSubject& subject,
    const AblationRequest& request,
    const AblationLimits& limits) {
  if (request.generation.max_tokens > 0) {
    return Begin<GenerativeAblation>(subject, request, limits);
  }
  return Begin<SweptAblation>(subject, request, limits);
}

}  // namespace spar::models
