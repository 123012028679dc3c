#include "models/torch/unit_masks.h"

#include <algorithm>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

bool Contains(const std::vector<uint64_t>& words, int32_t unit) {
  return (words[unit / 64] >> (unit % 64)) & 1;
}

}  // namespace

std::vector<int32_t> KeptByAny(std::span<const Row* const> rows,
                               const TreeStage& stage,
                               const UnitRange& range) {
  std::vector<uint64_t> any((range.count + 63) / 64, 0);
  for (const int row : stage.row) {
    const std::vector<uint64_t> words = SliceWords(rows[row]->units, range);
    for (size_t i = 0; i < any.size(); ++i) any[i] |= words[i];
  }
  std::vector<int32_t> kept;
  for (int unit = 0; unit < range.count; ++unit) {
    if (Contains(any, unit)) kept.push_back(unit);
  }
  return kept;
}

UnitMasks::UnitMasks(std::span<const Row* const> rows,
                     const TreeStage& stage,
                     const UnitRange& range,
                     const std::vector<int32_t>& computed,
                     const at::TensorOptions& options) {
  std::vector<float> masks;
  const size_t width = computed.size();
  for (size_t node = 0; node < stage.row.size(); ++node) {
    const std::vector<uint64_t> words =
        SliceWords(rows[stage.row[node]]->units, range);
    const size_t begin = masks.size();
    masks.resize(begin + width);
    bool partial = false;
    for (size_t i = 0; i < width; ++i) {
      const bool on = Contains(words, computed[i]);
      masks[begin + i] = on ? 1.0f : 0.0f;
      partial = partial || !on;
    }
    if (partial) partial_.push_back(static_cast<int>(node));
    if (!partial) masks.resize(begin);
  }
  if (partial_.empty()) return;
  masks_ =
      at::tensor(masks, at::dtype(at::kFloat))
          .view({-1, static_cast<int64_t>(width)})
          .to(options.device(), c10::typeMetaToScalarType(options.dtype()));
}

void UnitMasks::Apply(const std::vector<Run>& runs,
                      int64_t unit_size,
                      const at::Tensor& values) const {
  for (const Run& run : runs) {
    const auto first =
        std::lower_bound(partial_.begin(), partial_.end(), run.first);
    const auto last =
        std::lower_bound(first, partial_.end(), run.first + run.count);
    // [nodes, length, units, unit_size]
    const at::Tensor here = values.narrow(0, run.first_token, run.tokens())
                                .unflatten(1, {masks_.size(1), unit_size})
                                .unflatten(0, {run.count, run.length});
    const int64_t first_mask = first - partial_.begin();
    const auto mask_of = [&](int64_t index, int64_t count) {
      return masks_.narrow(0, first_mask + index, count)
          .unsqueeze(1)
          .unsqueeze(3);
    };
    const int64_t count = last - first;
    if (count == run.count) {
      here.mul_(mask_of(0, count));
      continue;
    }
    for (int64_t i = 0; i < count; ++i) {
      here.narrow(0, first[i] - run.first, 1).mul_(mask_of(i, 1));
    }
  }
}

}  // namespace spar::models
