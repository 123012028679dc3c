#include "models/torch/ablation/ablated_readout.h"

#include <algorithm>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

std::vector<float> Floats(const at::Tensor& tensor) {
  const at::Tensor floats = tensor.to(at::kCPU, at::kFloat).contiguous();
  const float* const begin = floats.const_data_ptr<float>();
  return std::vector<float>(begin, begin + floats.numel());
}

std::vector<int64_t> Longs(const at::Tensor& tensor) {
  const at::Tensor longs = tensor.to(at::kCPU, at::kLong).contiguous();
  const int64_t* const begin = longs.const_data_ptr<int64_t>();
  return std::vector<int64_t>(begin, begin + longs.numel());
}

// One column of each row.
std::vector<float> Columns(const at::Tensor& rows,
                           const std::vector<int64_t>& columns) {
  const at::Tensor index =
      at::tensor(columns, at::dtype(at::kLong)).to(rows.device()).unsqueeze(1);
  return Floats(rows.gather(1, index).squeeze(1));
}

}  // namespace

AblatedReadout::AblatedReadout(const AblationRequest& request,
                               const std::vector<TokenId>& tokens,
                               const at::Tensor& model_logits)
    : top_k_(request.top_k),
      tokens_(tokens),
      model_(model_logits.log_softmax(1)),
      probabilities_(model_.exp()) {
  if (request.target.has_value()) {
    targets_.assign(static_cast<size_t>(num_positions()), *request.target);
  } else {
    for (const int64_t best : Longs(model_logits.argmax(1))) {
      targets_.push_back(static_cast<TokenId>(best));
    }
  }
  baseline_ = Read(model_logits).front();
}

at::Tensor AblatedReadout::Divergences(const at::Tensor& logits) const {
  const at::Tensor runs =
      logits.log_softmax(1).view({-1, num_positions(), logits.size(1)});
  return (probabilities_ * (model_ - runs)).sum(2);
}

std::vector<std::vector<AblatedPosition>> AblatedReadout::Read(
    const at::Tensor& logits) const {
  const int64_t positions = num_positions();
  const int64_t vocab = logits.size(1);
  const int64_t runs = logits.size(0) / positions;
  const at::Tensor log_p = logits.log_softmax(1);
  const at::Tensor kl =
      (probabilities_ * (model_ - log_p.view({runs, positions, vocab})))
          .sum(2)
          .clamp_min(0);
  // Two at least: the largest logit but the target's is among them.
  const int64_t best = std::min<int64_t>(std::max(top_k_, 2), vocab);
  const auto [top, top_id] = at::topk(logits, best);
  const int64_t first = static_cast<int64_t>(tokens_.size()) - positions;
  std::vector<int64_t> targets, next;
  for (int64_t i = 0; i < runs * positions; ++i) {
    const size_t position = static_cast<size_t>(first + i % positions);
    targets.push_back(targets_[i % positions]);
    next.push_back(position + 1 < tokens_.size() ? tokens_[position + 1] : 0);
  }
  const std::vector<float> top_logits = Floats(top), kls = Floats(kl),
                           target_logits = Columns(logits, targets),
                           target_log_p = Columns(log_p, targets),
                           next_log_p = Columns(log_p, next);
  const std::vector<int64_t> top_ids = Longs(top_id);
  std::vector<std::vector<AblatedPosition>> results(runs);
  for (int64_t i = 0; i < runs * positions; ++i) {
    AblatedPosition read;
    read.position = static_cast<int32_t>(first + i % positions);
    read.kl = kls[i];
    if (static_cast<size_t>(read.position) + 1 < tokens_.size()) {
      read.cross_entropy = -next_log_p[i];
    }
    read.target = static_cast<TokenId>(targets[i]);
    read.target_log_probability = target_log_p[i];
    const float normalizer = target_logits[i] - target_log_p[i];
    float other = 0;
    bool found = false;
    for (int64_t j = 0; j < best; ++j) {
      const int64_t at = i * best + j;
      if (!found && top_ids[at] != targets[i]) {
        other = top_logits[at];
        found = true;
      }
      read.top.push_back({.token = static_cast<TokenId>(top_ids[at]),
                          .logit = top_logits[at],
                          .log_probability = top_logits[at] - normalizer});
    }
    read.margin = target_logits[i] - other;
    std::stable_sort(read.top.begin(), read.top.end(),
                     [](const TokenScore& a, const TokenScore& b) {
                       return a.logit != b.logit ? a.logit > b.logit
                                                 : a.token < b.token;
                     });
    if (static_cast<size_t>(top_k_) < read.top.size()) {
      read.top.resize(static_cast<size_t>(top_k_));
    }
    results[i / positions].push_back(std::move(read));
  }
  return results;
}

}  // namespace spar::models
