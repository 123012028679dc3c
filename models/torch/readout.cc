#include "models/torch/readout.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "models/torch/aten.h"
#include "models/torch/blocks.h"

namespace spar::models {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();
constexpr float kLeastFloat = std::numeric_limits<float>::lowest();

at::Tensor TargetColumn(const at::Tensor& logits,
                        const std::vector<TokenId>& targets) {
  const std::vector<int64_t> column(targets.begin(), targets.end());
  return at::tensor(column, at::dtype(at::kLong))
      .to(logits.device())
      .unsqueeze(1);
}

// Over the vocabulary, [n]. at::logsumexp takes some 40 times as long on the
// CPU. The bound on the largest keeps -inf of nothing but -inf.
at::Tensor LogSumExp(const at::Tensor& logits) {
  const at::Tensor largest =
      logits.detach().amax({1}, /*keepdim=*/true).clamp_min(kLeastFloat);
  return ((logits - largest).exp().sum({1}, /*keepdim=*/true).log() + largest)
      .squeeze(1);
}

std::vector<float> ToFloats(const at::Tensor& tensor) {
  const at::Tensor floats = tensor.to(at::kCPU, at::kFloat).contiguous();
  const float* const begin = floats.const_data_ptr<float>();
  return std::vector<float>(begin, begin + floats.numel());
}

// The best `top_k` of one row of logits, ties by id.
std::vector<TokenScore> TopScores(std::span<const float> logits,
                                  float log_normalizer,
                                  int top_k) {
  std::vector<TokenId> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const size_t count =
      std::min(static_cast<size_t>(std::max(top_k, 0)), ids.size());
  std::partial_sort(
      ids.begin(), ids.begin() + count, ids.end(), [&](TokenId a, TokenId b) {
        return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
      });
  std::vector<TokenScore> scores;
  for (size_t i = 0; i < count; ++i) {
    const float logit = logits[ids[i]];
    scores.push_back({.token = ids[i],
                      .logit = logit,
                      .log_probability = logit - log_normalizer});
  }
  return scores;
}

}  // namespace

std::vector<RowResult> ReadMargins(const at::Tensor& logits,
                                   std::vector<TokenId> targets) {
  if (std::count(targets.begin(), targets.end(), kOwnPrediction) > 0) {
    const at::Tensor own = logits.argmax(1).to(at::kCPU).contiguous();
    for (size_t i = 0; i < targets.size(); ++i) {
      if (targets[i] != kOwnPrediction) continue;
      targets[i] = static_cast<TokenId>(own.const_data_ptr<int64_t>()[i]);
    }
  }
  const at::Tensor column = TargetColumn(logits, targets);
  const at::Tensor target = logits.gather(1, column);
  logits.scatter_(1, column, kMinusInfinity);
  const auto [best, best_id] = at::max(logits, 1);
  const std::vector<float> target_logits = ToFloats(target);
  const std::vector<float> best_logits = ToFloats(best);
  const at::Tensor ids = best_id.to(at::kCPU).contiguous();
  // Of all, from the largest: that of the others, and the target's.
  const at::Tensor largest =
      at::maximum(target, best.unsqueeze(1)).clamp_min_(kLeastFloat);
  const std::vector<float> powers =
      ToFloats((logits - largest).exp_().sum({1}));
  const std::vector<float> highest = ToFloats(largest);
  std::vector<RowResult> results;
  for (size_t i = 0; i < targets.size(); ++i) {
    results.push_back(
        {.target = targets[i],
         .margin = target_logits[i] - best_logits[i],
         .target_logit = target_logits[i],
         .runner_up_logit = best_logits[i],
         .runner_up = static_cast<TokenId>(ids.const_data_ptr<int64_t>()[i]),
         .target_log_probability =
             target_logits[i] - highest[i] -
             std::log(powers[i] + std::exp(target_logits[i] - highest[i]))});
  }
  return results;
}

std::vector<RowResult> ReadStreams(const Decoder& decoder,
                                   const at::Tensor& streams,
                                   std::span<const TokenId> targets) {
  constexpr size_t kRowsPerReadout = 64;
  std::vector<RowResult> results;
  for (size_t begin = 0; begin < targets.size(); begin += kRowsPerReadout) {
    const auto some = targets.subspan(
        begin, std::min(kRowsPerReadout, targets.size() - begin));
    const std::vector<RowResult> read = ReadMargins(
        Logits(decoder, streams.narrow(0, static_cast<int64_t>(begin),
                                       static_cast<int64_t>(some.size()))),
        {some.begin(), some.end()});
    results.insert(results.end(), read.begin(), read.end());
  }
  return results;
}

std::vector<PositionPrediction> ReadPredictions(const at::Tensor& logits,
                                                std::span<const TokenId> next,
                                                int top_k) {
  const size_t vocab = logits.size(1);
  const std::vector<float> normalizers = ToFloats(LogSumExp(logits));
  const std::vector<float> all = ToFloats(logits);
  std::vector<PositionPrediction> predictions;
  for (size_t i = 0; i < normalizers.size(); ++i) {
    const std::span<const float> row(all.data() + i * vocab, vocab);
    PositionPrediction prediction;
    prediction.top = TopScores(row, normalizers[i], top_k);
    if (i < next.size()) {
      prediction.next_token_log_probability = row[next[i]] - normalizers[i];
    }
    predictions.push_back(std::move(prediction));
  }
  return predictions;
}

}  // namespace spar::models
