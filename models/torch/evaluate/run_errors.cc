#include "models/torch/evaluate/run_errors.h"

#include "models/torch/aten.h"

namespace spar::models {
namespace {

double SumOfSquares(const at::Tensor& x) {
  return x.to(at::kFloat).square().sum(at::kDouble).item<double>();
}

}  // namespace

ComponentRun RunErrors::Watch(EvaluatedBatch& batch) {
  modules_.resize(batch.clean().outputs.size());
  layers_.resize(batch.clean().heads.size());
  ComponentRun watched;
  watched.see_output = [this, &batch](int module, const at::Tensor& output) {
    AddOutput(batch, module, output);
  };
  watched.see_heads = [this, &batch](int layer, const at::Tensor& q,
                                     const at::Tensor& k) {
    AddHeads(batch, layer, {.q = q, .k = k});
  };
  return watched;
}

void RunErrors::AddOutput(const EvaluatedBatch& batch,
                          int module,
                          const at::Tensor& output) {
  const at::Tensor& clean = batch.clean().outputs[module];
  Sums& sums = modules_[module];
  sums.error += SumOfSquares(output - clean);
  sums.clean += SumOfSquares(clean);
  sums.count += clean.numel();
}

void RunErrors::AddHeads(EvaluatedBatch& batch,
                         int layer,
                         const LayerHeads& heads) {
  Sums& sums = layers_[layer];
  const LayerHeads& clean = batch.clean().heads[layer];
  sums.error += PatternDivergence(batch.decoder(), layer, batch.sequences(),
                                  clean, heads);
  sums.count += clean.q.size(0) * clean.q.size(1);
}

OutputErrors RunErrors::Outputs() const {
  OutputErrors errors{.masks = masks_};
  Sums all;
  const auto mean = [](const Sums& sums) -> OutputError {
    const double count = static_cast<double>(sums.count);
    return {.error = sums.error / count, .clean = sums.clean / count};
  };
  for (const Sums& sums : modules_) {
    errors.modules.push_back(mean(sums));
    all.error += sums.error;
    all.clean += sums.clean;
    all.count += sums.count;
  }
  errors.all = mean(all);
  return errors;
}

PatternErrors RunErrors::Patterns() const {
  PatternErrors errors{.masks = masks_};
  double sum = 0;
  int64_t count = 0;
  for (const Sums& sums : layers_) {
    errors.layers.push_back(sums.error / static_cast<double>(sums.count));
    sum += sums.error;
    count += sums.count;
  }
  errors.all = sum / static_cast<double>(count);
  return errors;
}

}  // namespace spar::models
