#include "models/torch/evaluate/attack_pass.h"

#include <algorithm>
#include <utility>

#include "base/splitmix64.h"
#include "models/torch/aten.h"

namespace spar::models {

AttackPass::AttackPass(const EvaluationSubject& subject,
                       const EvaluationRequest& request,
                       AttackScope scope)
    : subject_(subject),
      request_(request),
      attack_(*request.attack),
      scope_(scope),
      sums_(attack_.step_counts.size()) {}

int64_t AttackPass::CountBatches(int64_t all) const {
  return attack_.max_batches == 0 ? all
                                  : std::min<int64_t>(all, attack_.max_batches);
}

void AttackPass::Begin(EvaluatedBatch& batch, int64_t index) {
  adversary_ = {};
  adversary_.adversary = {
      .steps = attack_.step_counts.back(),
      .step_size = attack_.step_size,
      .restarts = attack_.restarts,
      .shared_positions = scope_ == AttackScope::kSharedAcrossBatch};
  adversary_.seed =
      base::SplitMix64(request_.seed + static_cast<uint64_t>(index));
  if (!subject_.info->spec.has_delta) adversary_.delta = 0;
  ascent_ = std::make_unique<Attack>(adversary_, batch.importances());
  of_batch_.assign(attack_.step_counts.size(), ReadingSums{});
  model_.Add(batch.model());
  num_positions_ += batch.readout().num_positions();
  num_next_tokens_ += batch.readout().num_next_tokens();
}

void AttackPass::Step(EvaluatedBatch& batch, int64_t step) {
  ReadingSums read;
  ascent_->Step([&](std::vector<ComponentMasks> masks) {
    return batch.readout().MeanDivergence(batch.Run(std::move(masks)), read);
  });
  // That run had made so many steps.
  const int64_t steps = step % RunsPerRestart();
  const bool first = step < RunsPerRestart();
  for (size_t i = 0; i < of_batch_.size(); ++i) {
    if (attack_.step_counts[i] != steps) continue;
    if (first || read.kl > of_batch_[i].kl) of_batch_[i] = read;
  }
  if (!ascent_->done()) return;
  for (size_t i = 0; i < of_batch_.size(); ++i) sums_[i].Add(of_batch_[i]);
  ascent_ = nullptr;
}

std::vector<EvaluationPart> AttackPass::Finish() {
  const auto positions = static_cast<double>(num_positions_);
  const auto next_tokens = static_cast<double>(num_next_tokens_);
  AttackCurve curve{.scope = scope_, .num_positions = num_positions_};
  for (size_t i = 0; i < sums_.size(); ++i) {
    curve.points.push_back(
        {.steps = attack_.step_counts[i],
         .kl = sums_[i].kl / positions,
         .cross_entropy = sums_[i].cross_entropy / next_tokens,
         .difference =
             (sums_[i].cross_entropy - model_.cross_entropy) / next_tokens});
  }
  std::vector<EvaluationPart> parts;
  parts.emplace_back(std::move(curve));
  return parts;
}

}  // namespace spar::models
