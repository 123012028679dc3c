#include "models/torch/prune/prune_readout.h"

#include <cmath>
#include <limits>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

// KL(model || run) of each row, [rows].
at::Tensor Divergences(const at::Tensor& model, const at::Tensor& run) {
  return (model.exp() * (model - run)).sum(1);
}

}  // namespace

PruneReadout::PruneReadout(const std::vector<const PromptNodes*>& rows) {
  std::vector<int64_t> targets;
  std::vector<at::Tensor> model;
  for (const PromptNodes* const row : rows) {
    targets.push_back(row->target);
    model.push_back(row->log_probabilities);
  }
  model_ = at::cat(model);
  targets_ = at::tensor(targets, at::dtype(at::kLong))
                 .to(model_.device())
                 .unsqueeze(1);
}

at::Tensor PruneReadout::Losses(PruneLoss kind,
                                const at::Tensor& logits) const {
  const at::Tensor log_p = logits.log_softmax(1);
  if (kind == PruneLoss::kDivergence) return Divergences(model_, log_p);
  return -log_p.gather(1, targets_).squeeze(1);
}

std::vector<PruneReading> PruneReadout::Read(const at::Tensor& logits) const {
  const at::Tensor log_p = logits.log_softmax(1);
  const at::Tensor target = logits.gather(1, targets_);
  const at::Tensor others =
      logits.scatter(1, targets_, -std::numeric_limits<double>::infinity());
  const at::Tensor numbers =
      at::stack({Divergences(model_, log_p).clamp_min(0),
                 -log_p.gather(1, targets_).squeeze(1),
                 (target - others.amax(1, /*keepdim=*/true)).squeeze(1)})
          .to(at::kCPU, at::kDouble)
          .contiguous();
  const double* const kl = numbers.const_data_ptr<double>();
  const int64_t rows = logits.size(0);
  std::vector<PruneReading> readings;
  for (int64_t r = 0; r < rows; ++r) {
    readings.push_back({.kl = kl[r],
                        .cross_entropy = kl[rows + r],
                        .probability = std::exp(-kl[rows + r]),
                        .margin = kl[2 * rows + r]});
  }
  return readings;
}

}  // namespace spar::models
