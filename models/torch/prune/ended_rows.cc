#include "models/torch/prune/ended_rows.h"

#include <utility>

#include "models/torch/aten.h"
#include "models/torch/decomposition/ci_sigmoids.h"

namespace spar::models {
namespace {

constexpr uint64_t kReadingUse = 2;  // beside the uses of a step

}  // namespace

EndedRows::EndedRows(const PruneSubject& subject,
                     const PruneRequest& request,
                     std::vector<EndedRow> rows)
    : subject_(subject), request_(request), rows_(std::move(rows)) {}

void EndedRows::Begin() {
  std::vector<PruneRow> batch;
  std::vector<at::Tensor> logits;
  std::vector<uint64_t> seeds;
  for (const EndedRow& row : rows_) {
    batch.push_back(row.row);
    logits.push_back(row.logits);
    seeds.push_back(StepSeed(row.row.key, row.steps, kReadingUse));
  }
  batch_ = std::make_unique<RowBatch>(subject_, std::move(batch),
                                      RowListing::kAlive);
  batch_->KeepFactors();
  lower_ = LowerSigmoid(subject_.sigmoid, subject_.sampling, at::cat(logits));
  if (request_.adversary.has_value()) {
    attack_ = std::make_unique<RowAttack>(*request_.adversary, request_.loss,
                                          *batch_, lower_, std::move(seeds));
  }
}

std::vector<PrunedRow> EndedRows::Advance() {
  const c10::AutoGradMode no_gradients(false);
  if (batch_ == nullptr) Begin();
  if (attack_ != nullptr && !attack_->done()) {
    attack_->Step();
    return {};
  }
  const auto read = [this](const at::Tensor& masks) {
    return batch_->readout().Read(batch_->LogitsOf(masks));
  };
  const std::vector<PruneReading> masked = read(lower_);
  const std::vector<PruneReading> rounded =
      read(lower_.gt(request_.rounding_threshold).to(at::kFloat));
  std::vector<PruneReading> attacked;
  if (attack_ != nullptr) attacked = read(attack_->Masks());
  const at::Tensor host = lower_.to(at::kCPU).contiguous();
  const float* importance = host.const_data_ptr<float>();
  std::vector<PrunedRow> results;
  for (size_t r = 0; r < rows_.size(); ++r) {
    PrunedRow result = Describe(rows_[r], importance);
    importance += rows_[r].row.nodes->num_nodes();
    result.masked = masked[r];
    result.rounded = rounded[r];
    if (attack_ != nullptr) result.attacked = attacked[r];
    results.push_back(std::move(result));
  }
  return results;
}

PrunedRow EndedRows::Describe(const EndedRow& row,
                              const float* importances) const {
  const PromptNodes& nodes = *row.row.nodes;
  PrunedRow result;
  result.prompt = row.row.prompt;
  result.coefficient = row.row.coefficient;
  result.position = static_cast<int32_t>(nodes.num_tokens()) - 1;
  result.target = nodes.target;
  result.num_parameters = nodes.num_nodes();
  for (size_t m = 0; m + 1 < nodes.begin.size(); ++m) {
    for (int64_t n = nodes.begin[m]; n < nodes.begin[m + 1]; ++n) {
      if (!(importances[n] > request_.rounding_threshold)) continue;
      result.nodes.push_back({.module = static_cast<int32_t>(m),
                              .position = nodes.position[n],
                              .component = nodes.component[n],
                              .importance = importances[n]});
    }
  }
  result.l0 = static_cast<double>(result.nodes.size()) /
              static_cast<double>(nodes.length);
  result.steps = row.steps;
  result.stopped_early = row.stopped_early;
  result.losses = row.losses;
  result.model = nodes.model;
  return result;
}

}  // namespace spar::models
