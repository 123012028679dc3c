// L1. The toy model's arithmetic: see Note [The fake model].
#include "models/fake_backend.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status.h"
#include "models/ablation_check.h"
#include "models/digest.h"
#include "models/evaluation_check.h"
#include "models/fake_ablation.h"
#include "models/fake_evaluation.h"
#include "models/fake_pruning.h"
#include "models/prune_check.h"
#include "models/row_check.h"

namespace spar::models {
namespace {

FakeShape ShapeOf(const FakeBackendOptions& options) {
  FakeShape shape;
  shape.num_layers = options.num_layers;
  shape.num_heads = options.num_heads;
  shape.num_neurons = options.num_neurons;
  shape.vocab_size = options.vocab_size;
  shape.interaction = options.interaction;
  shape.seed = options.seed;
  return shape;
}

std::vector<float> MasksOf(const Row& row) {
  std::vector<float> masks(row.units.universe(), 0.0f);
  for (const int32_t id : row.units.Members()) masks[id] = 1.0f;
  return masks;
}

RowResult Read(const Prompt& prompt, const FakeForward& forward) {
  RowResult result{};
  const std::vector<double>& logits = forward.logits;
  const auto best = std::max_element(logits.begin(), logits.end());
  const double largest = *best;
  result.target = prompt.target == kOwnPrediction
                      ? static_cast<TokenId>(best - logits.begin())
                      : prompt.target;
  int runner_up = result.target == 0 ? 1 : 0;
  for (int token = 0; token < static_cast<int>(logits.size()); ++token) {
    if (token != result.target && logits[token] > logits[runner_up]) {
      runner_up = token;
    }
  }
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit - largest);
  const double target = logits[result.target];
  result.margin = static_cast<float>(target - logits[runner_up]);
  result.target_logit = static_cast<float>(target);
  result.runner_up_logit = static_cast<float>(logits[runner_up]);
  result.runner_up = runner_up;
  result.target_log_probability =
      static_cast<float>(target - largest - std::log(sum));
  return result;
}

}  // namespace

FakeBackend::FakeBackend(FakeBackendOptions options)
    : options_(std::move(options)),
      model_(ShapeOf(options_)),
      all_on_(model_.units().size(), 1.0f) {
  const UnitTable& units = model_.units();
  info_.family = "fake";
  info_.config_json =
      base::Cat("{\"context_length\":", options_.context_length,
                ",\"model_type\":\"fake\",\"seed\":", options_.seed, "}");
  info_.weights_digest =
      Sha256Hex(base::Cat("fake weights ", options_.seed, " ", units.size(),
                          " ", options_.vocab_size, " ", options_.interaction));
  info_.digest = Sha256Hex(info_.weights_digest + info_.config_json);
  info_.num_layers = options_.num_layers;
  info_.width = kFakeWidth;
  info_.num_heads = options_.num_heads;
  info_.num_neurons = options_.num_neurons;
  info_.vocab_size = options_.vocab_size;
  info_.context_length = options_.context_length;
  info_.num_parameters = int64_t{2} * options_.vocab_size * kFakeWidth;
  for (int id = 0; id < units.size(); ++id) {
    info_.num_parameters += units.Parameters(id);
  }
  info_.dtype = "float32";
  info_.device = "cpu";
  calibration_.t0_seconds = 1e-6;
  calibration_.t1_seconds = 1e-6;
  calibration_.tokens = 16;
  calibration_.noise_floor = options_.noise_floor;
  MeasureMeans();
  MakeDecompositions();
}

void FakeBackend::MeasureMeans() {
  if (options_.reference_prompts.empty()) return;
  std::vector<double> sums(all_on_.size(), 0.0);
  for (const std::vector<TokenId>& tokens : options_.reference_prompts) {
    Prompt prompt{};
    prompt.tokens = tokens;
    const int length = static_cast<int>(tokens.size());
    const FakeForward forward = Run(prompt, all_on_, IndexSet::All(length));
    for (size_t id = 0; id < sums.size(); ++id) sums[id] += forward.own[id];
  }
  const double count = static_cast<double>(options_.reference_prompts.size());
  for (double& sum : sums) sum /= count;
  means_ = std::move(sums);
}

FakeForward FakeBackend::Run(const Prompt& prompt,
                             const std::vector<float>& masks,
                             const IndexSet& positions) const {
  static const std::vector<double> kZeros = {};
  static const std::vector<FakeVector> kNoShifts = {};
  if (prompt.space == UnitSpace::kHeadsAndNeurons) {
    const bool mean = prompt.reference == ReferenceKind::kMean;
    return model_.Run(
        {prompt, positions, masks, mean ? means_ : kZeros, kNoShifts});
  }
  const std::vector<FakeVector> shifts =
      DecompositionOf(prompt).Shifts(prompt, positions, masks);
  return model_.Run({prompt, positions, all_on_, kZeros, shifts});
}

RowGradient FakeBackend::Differentiate(const GradientRow& row) const {
  static const std::vector<double> kZeros = {};
  static const std::vector<FakeVector> kNoShifts = {};
  const Prompt& prompt = *row.prompt;
  const bool units = prompt.space == UnitSpace::kHeadsAndNeurons;
  const bool mean = units && prompt.reference == ReferenceKind::kMean;
  const FakeForward forward = Run(prompt, row.masks, row.positions);
  FakeSlopes slopes =
      model_.Differentiate({prompt, row.positions, units ? row.masks : all_on_,
                            mean ? means_ : kZeros, kNoShifts},
                           forward);
  RowGradient result{};
  result.margin = Read(prompt, forward).margin;
  result.smooth_margin = static_cast<float>(slopes.smooth_margin);
  result.gradient = units ? std::move(slopes.of_masks)
                          : DecompositionOf(prompt).Gradient(
                                prompt, row.positions, slopes.of_shifts);
  return result;
}

absl::StatusOr<std::vector<RowResult>> FakeBackend::Evaluate(
    std::span<const Row> rows) {
  std::vector<std::shared_ptr<const Prompt>> prompts;
  for (const Row& row : rows) prompts.push_back(row.prompt);
  {
    base::MutexLock lock(mu_);
    ++counters_.batches;
    counters_.rows += static_cast<int64_t>(rows.size());
  }
  RETURN_IF_ERROR(Enter(prompts));
  for (const Row& row : rows) RETURN_IF_ERROR(CheckRow(row));
  std::vector<RowResult> results;
  FakeRandom noise(rows.size() + 77);
  for (const Row& row : rows) {
    const FakeForward forward = Run(*row.prompt, MasksOf(row), row.positions);
    RowResult result = Read(*row.prompt, forward);
    if (rows.size() > 1 && options_.batch_noise > 0) {
      result.margin +=
          static_cast<float>(noise.Symmetric(options_.batch_noise));
    }
    results.push_back(result);
  }
  return results;
}

absl::StatusOr<std::vector<RowGradient>> FakeBackend::Gradients(
    std::span<const GradientRow> rows) {
  std::vector<std::shared_ptr<const Prompt>> prompts;
  for (const GradientRow& row : rows) prompts.push_back(row.prompt);
  {
    base::MutexLock lock(mu_);
    ++counters_.gradient_batches;
    counters_.gradient_rows += static_cast<int64_t>(rows.size());
  }
  RETURN_IF_ERROR(Enter(prompts));
  for (const GradientRow& row : rows) RETURN_IF_ERROR(CheckGradientRow(row));
  std::vector<RowGradient> results;
  for (const GradientRow& row : rows) results.push_back(Differentiate(row));
  return results;
}

absl::StatusOr<double> FakeBackend::EvaluateExactly(const Row& row) {
  RETURN_IF_ERROR(CheckRow(row));
  RETURN_IF_ERROR(CheckPrompt(row.prompt.get(), row.positions,
                              /*own_prediction=*/false));
  {
    base::MutexLock lock(mu_);
    ++counters_.exact_rows;
  }
  const FakeForward forward = Run(*row.prompt, MasksOf(row), row.positions);
  double runner_up = -1e300;
  for (int token = 0; token < options_.vocab_size; ++token) {
    if (token == row.prompt->target) continue;
    runner_up = std::max(runner_up, forward.logits[token]);
  }
  return forward.logits[row.prompt->target] - runner_up;
}

absl::StatusOr<std::vector<PositionPrediction>> FakeBackend::Predict(
    std::span<const TokenId> tokens, int top_k) {
  std::vector<PositionPrediction> predictions;
  Prompt whole{};
  whole.tokens.assign(tokens.begin(), tokens.end());
  const int length = static_cast<int>(tokens.size());
  RETURN_IF_ERROR(CheckPrompt(&whole, IndexSet::All(std::max(length, 1)),
                              /*own_prediction=*/false));
  for (int end = 1; end <= length; ++end) {
    Prompt prompt{};
    prompt.tokens.assign(tokens.begin(), tokens.begin() + end);
    const FakeForward forward = Run(prompt, all_on_, IndexSet::All(end));
    const double largest =
        *std::max_element(forward.logits.begin(), forward.logits.end());
    double sum = 0;
    for (const double logit : forward.logits) sum += std::exp(logit - largest);
    PositionPrediction prediction{};
    for (int token = 0; token < options_.vocab_size; ++token) {
      TokenScore score{};
      score.token = token;
      score.logit = static_cast<float>(forward.logits[token]);
      score.log_probability =
          static_cast<float>(forward.logits[token] - largest - std::log(sum));
      prediction.top.push_back(score);
    }
    std::stable_sort(prediction.top.begin(), prediction.top.end(),
                     [](const TokenScore& a, const TokenScore& b) {
                       return a.logit > b.logit;
                     });
    if (end < length) {
      prediction.next_token_log_probability = static_cast<float>(
          forward.logits[tokens[end]] - largest - std::log(sum));
    }
    prediction.top.resize(
        std::clamp(top_k, 0, static_cast<int>(prediction.top.size())));
    predictions.push_back(std::move(prediction));
  }
  return predictions;
}

absl::StatusOr<std::unique_ptr<Ablation>> FakeBackend::Ablate(
    const AblationRequest& request) {
  RETURN_IF_ERROR(CheckDecomposition(*this, request.decomposition));
  if (!request.decomposition.empty()) {
    return base::Error(absl::StatusCode::kUnimplemented,
                       "the toy's ablations are of heads and neurons",
                       {"NO_ABLATION", "decomposition", {}});
  }
  RETURN_IF_ERROR(CheckAblation(info_, units(), nullptr, request));
  return MakeFakeAblation(
      units(), request,
      [this](std::span<const TokenId> tokens, const std::vector<float>& masks) {
        Prompt prompt{};
        prompt.tokens.assign(tokens.begin(), tokens.end());
        return Run(prompt, masks,
                   IndexSet::All(static_cast<int>(tokens.size())))
            .logits;
      });
}

absl::StatusOr<std::unique_ptr<Pruning>> FakeBackend::Prune(
    const PruneRequest& request) {
  RETURN_IF_ERROR(CheckDecomposition(*this, request.decomposition));
  RETURN_IF_ERROR(CheckPrune(info_, request));
  Prompt prompt{};
  prompt.decomposition = request.decomposition;
  return MakeFakePruning(
      DecompositionOf(prompt), request,
      [this](const Prompt& of, const std::vector<float>& masks) {
        return Run(of, masks, IndexSet::All(static_cast<int>(of.tokens.size())))
            .logits;
      });
}

absl::StatusOr<std::unique_ptr<Evaluation>> FakeBackend::EvaluateDecomposition(
    const EvaluationRequest& request) {
  ASSIGN_OR_RETURN(const size_t index, CheckEvaluation(*this, request));
  return MakeFakeEvaluation(
      decompositions_[index], request,
      [this](const Prompt& of, const std::vector<float>& masks) {
        return Run(of, masks, IndexSet::All(static_cast<int>(of.tokens.size())))
            .logits;
      });
}

}  // namespace spar::models
