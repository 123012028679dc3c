#include "models/torch/prune/row_attack.h"

#include <span>
#include <utility>

#include "models/torch/aten.h"
#include "models/torch/uniform_numbers.h"

namespace spar::models {

RowAttack::RowAttack(const PruneAdversary& adversary,
                     PruneLoss loss,
                     RowBatch& batch,
                     at::Tensor g,
                     std::vector<uint64_t> seeds)
    : adversary_(adversary),
      loss_(loss),
      batch_(batch),
      g_(std::move(g)),
      seeds_(std::move(seeds)) {}

at::Tensor RowAttack::Draw() const {
  at::Tensor sources = at::empty({batch_.num_nodes()}, at::dtype(at::kFloat));
  float* next = sources.mutable_data_ptr<float>();
  for (size_t r = 0; r < seeds_.size(); ++r) {
    const int64_t count = batch_.rows()[r].nodes->num_nodes();
    FillUniform(seeds_[r], static_cast<uint64_t>(restart_),
                {next, static_cast<size_t>(count)});
    next += count;
  }
  return sources.to(g_.device());
}

at::Tensor RowAttack::MasksUnder(const at::Tensor& sources) const {
  return g_ + (1 - g_) * sources;
}

void RowAttack::Step() {
  const c10::AutoGradMode no_gradients(false);
  if (step_ == 0) sources_ = Draw();
  const at::Tensor slopes =
      batch_.Differentiate(loss_, MasksUnder(sources_), nullptr).of_nodes;
  sources_ = (sources_ + (slopes * (1 - g_)).sign() * adversary_.step_size)
                 .clamp(0, 1);
  if (++step_ == adversary_.steps) Finish();
}

void RowAttack::Finish() {
  if (adversary_.restarts == 1) {
    worst_ = sources_;
  } else {
    const at::Tensor losses =
        batch_.readout().Losses(loss_, batch_.LogitsOf(MasksUnder(sources_)));
    if (restart_ == 0) {
      worst_ = sources_;
      worst_losses_ = losses;
    } else {
      std::vector<int64_t> counts;
      for (const PruneRow& row : batch_.rows()) {
        counts.push_back(row.nodes->num_nodes());
      }
      const at::Tensor worse = losses.gt(worst_losses_);
      const at::Tensor of_nodes = worse.repeat_interleave(
          at::tensor(counts, at::dtype(at::kLong)).to(worse.device()));
      worst_ = at::where(of_nodes, sources_, worst_);
      worst_losses_ = at::where(worse, losses, worst_losses_);
    }
  }
  step_ = 0;
  ++restart_;
}

}  // namespace spar::models
