#include "models/torch/position_sums.h"

#include <algorithm>
#include <utility>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

constexpr int kFewestSummedPrompts = 8;
constexpr int64_t kTokensPerChunk = 2048;

}  // namespace

PositionRows::PositionRows(const std::vector<std::vector<TokenId>>& prompts)
    : prompts_(prompts) {
  for (size_t position = 1;; ++position) {
    const auto reach =
        std::count_if(prompts.begin(), prompts.end(),
                      [&](const auto& p) { return p.size() > position; });
    if (reach >= kFewestSummedPrompts) continue;
    last_ = static_cast<int>(position);
    return;
  }
}

at::Tensor PositionRows::Counts(at::Device device) const {
  std::vector<double> counts(last_ + 1, 0);
  for (const std::vector<TokenId>& prompt : prompts_) {
    const int length = static_cast<int>(prompt.size());
    for (int i = 0; i < std::min(last_, length); ++i) ++counts[i];
    counts.back() += length - 1;
  }
  counts.back() = std::max(counts.back(), 1.0);
  return at::tensor(counts, at::dtype(at::kDouble)).to(device).unsqueeze(1);
}

PositionSums::PositionSums(const PositionRows& rows,
                           int64_t width,
                           at::Device device)
    : values_(at::zeros({rows.last() + 1, width},
                        at::dtype(at::kDouble).device(device))) {}

void PositionSums::Add(const at::Tensor& activations, const at::Tensor& ids) {
  const int64_t last = values_.size(0) - 1;
  const at::Tensor wide = activations.to(at::kDouble);
  const at::Tensor own = (ids < last).nonzero().squeeze(1);
  values_.index_add_(0, ids.index_select(0, own), wide.index_select(0, own));
  const at::Tensor later = (ids > 0).nonzero().squeeze(1);
  values_.select(0, last).add_(wide.index_select(0, later).sum(0));
}

void RunReferences(
    const Decoder& decoder,
    const std::vector<std::vector<TokenId>>& prompts,
    const std::function<MaskOptions(const SequenceBatch& batch)>& options_of) {
  for (size_t i = 0; i < prompts.size();) {
    std::vector<Sequence> chunk;
    for (int64_t tokens = 0; i < prompts.size() && tokens < kTokensPerChunk;
         ++i) {
      tokens += static_cast<int64_t>(prompts[i].size());
      chunk.push_back(WholeSequence(prompts[i]));
    }
    SequenceBatch batch(decoder, std::move(chunk));
    MaskOptions options = options_of(batch);
    options.last_only = false;
    MaskedForward(decoder, batch, options);
  }
}

}  // namespace spar::models
