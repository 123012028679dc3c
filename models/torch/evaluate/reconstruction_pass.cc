#include "models/torch/evaluate/reconstruction_pass.h"

#include <utility>

#include "models/torch/aten.h"

namespace spar::models {

ReconstructionPass::ReconstructionPass(const EvaluationSubject& subject,
                                       const EvaluationRequest& request,
                                       int subset)
    : subject_(subject),
      request_(request),
      subset_(subset),
      runs_(PlanRuns(request)) {
  const size_t num_modules = subject.info->spec.modules.size();
  masked_.assign(num_modules, of_all());
  if (!of_all()) {
    for (const int m : request.subsets[subset].modules) masked_[m] = true;
  }
  sums_.resize(runs_.size());
  point_l0_.assign(request.sweep.size(), std::vector<double>(num_modules));
}

void ReconstructionPass::Begin(EvaluatedBatch& batch, int64_t index) {
  const c10::AutoGradMode no_gradients(false);
  batch_ = index;
  num_positions_ += batch.readout().num_positions();
  num_next_tokens_ += batch.readout().num_next_tokens();
  model_.Add(batch.model());
  if (of_all()) importances_.Add(batch.importances(), request_.alive_threshold);
  for (size_t i = 0; i < point_l0_.size(); ++i) {
    for (size_t m = 0; m < masked_.size(); ++m) {
      if (!masked_[m]) continue;
      const at::Tensor active = batch.importances()[m].gt(request_.sweep[i]);
      point_l0_[i][m] += active.sum(at::kDouble).item<double>();
    }
  }
}

void ReconstructionPass::Step(EvaluatedBatch& batch, int64_t step) {
  const c10::AutoGradMode no_gradients(false);
  const MaskedRun& run = runs_[step];
  ComponentRun watched;
  if (RunErrors* const errors = ErrorsOf(run)) watched = errors->Watch(batch);
  const at::Tensor stream = batch.Run(
      MasksOfRun(subject_, request_, run, masked_, batch.importances(), batch_),
      std::move(watched));
  sums_[step].Add(batch.readout().Read(stream));
}

RunErrors* ReconstructionPass::ErrorsOf(const MaskedRun& run) {
  if (!of_all()) return nullptr;
  if (run.masks == EvaluationMasks::kCausalImportance) {
    return &importance_errors_;
  }
  if (run.masks == EvaluationMasks::kStochastic) return &stochastic_errors_;
  return nullptr;
}

Reconstruction ReconstructionPass::Table() const {
  const auto positions = static_cast<double>(num_positions_);
  const auto next_tokens = static_cast<double>(num_next_tokens_);
  const double model = model_.cross_entropy / next_tokens;
  Reconstruction table{.subset = subset_};
  double zero = 0;  // difference of kZero
  for (const EvaluationMasks masks :
       {EvaluationMasks::kTarget, EvaluationMasks::kUnmasked,
        EvaluationMasks::kCausalImportance, EvaluationMasks::kRounded,
        EvaluationMasks::kStochastic, EvaluationMasks::kRandom,
        EvaluationMasks::kZero}) {
    MaskedReading& reading = table.readings.emplace_back();
    reading.masks = masks;
    ReadingSums sums;
    double count = 0;
    for (size_t r = 0; r < runs_.size(); ++r) {
      if (runs_[r].masks != masks || runs_[r].point >= 0) continue;
      sums.Add(sums_[r]);
      ++count;
    }
    if (masks == EvaluationMasks::kTarget) {
      sums = model_;
      count = 1;
    }
    reading.cross_entropy = sums.cross_entropy / (next_tokens * count);
    reading.difference = reading.cross_entropy - model;
    reading.kl = sums.kl / (positions * count);
    zero = reading.difference;  // the last is kZero
  }
  if (zero != 0) {
    for (MaskedReading& reading : table.readings) {
      reading.unrecovered = reading.difference / zero;
    }
  }
  return table;
}

SparsityCurve ReconstructionPass::Curve() const {
  const auto positions = static_cast<double>(num_positions_);
  const auto next_tokens = static_cast<double>(num_next_tokens_);
  SparsityCurve curve{.subset = subset_};
  for (size_t r = 0; r < runs_.size(); ++r) {
    if (runs_[r].point < 0) continue;
    SparsityPoint& point = curve.points.emplace_back();
    point.threshold = request_.sweep[runs_[r].point];
    for (size_t m = 0; m < masked_.size(); ++m) {
      const DecomposedModule& module = subject_.info->spec.modules[m];
      const double l0 = point_l0_[runs_[r].point][m] / positions;
      point.module_l0.push_back(l0);
      point.mean_l0 += l0;
      point.active_parameters += l0 * (double{1} * module.d_in + module.d_out);
    }
    point.cross_entropy = sums_[r].cross_entropy / next_tokens;
    point.difference = point.cross_entropy - model_.cross_entropy / next_tokens;
    point.kl = sums_[r].kl / positions;
  }
  return curve;
}

std::vector<EvaluationPart> ReconstructionPass::Finish() {
  std::vector<EvaluationPart> parts;
  if (of_all()) parts.emplace_back(importances_.Read(request_));
  parts.emplace_back(Table());
  if (of_all()) {
    parts.emplace_back(importance_errors_.Outputs());
    parts.emplace_back(stochastic_errors_.Outputs());
    parts.emplace_back(importance_errors_.Patterns());
    parts.emplace_back(stochastic_errors_.Patterns());
  }
  if (!request_.sweep.empty()) parts.emplace_back(Curve());
  return parts;
}

}  // namespace spar::models
