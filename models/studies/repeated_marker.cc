#include "models/studies/repeated_marker.h"

#include <ATen/ops/argmax.h>

#include "models/torch/aten.h"
#include "models/torch/train/draws.h"

namespace spar::studies {

at::Tensor RepeatedMarker::Batch(int64_t step) const {
  const models::DrawKey key =
      models::DrawKey(options_.seed).Of(static_cast<uint64_t>(step));
  const int64_t count = options_.batch_size;
  const int64_t length = options_.length;
  at::Tensor ids =
      (key.Of(0).Uniform({count, length}, at::kCPU) * options_.letters)
          .to(at::kLong) +
      1;
  ids.select(1, 0).fill_(0);
  ids.select(1, length - 1).fill_(options_.marker());
  const at::Tensor first =
      (key.Of(1).Uniform({count, 1}, at::kCPU) * (options_.length - 4))
          .to(at::kLong) +
      1;
  return ids.scatter_(1, first, options_.marker());
}

at::Tensor RepeatedMarker::FirstMarkers(const at::Tensor& batch) const {
  return batch.eq(options_.marker()).to(at::kLong).argmax(1);
}

at::Tensor RepeatedMarker::Answers(const at::Tensor& batch) const {
  return batch.gather(1, FirstMarkers(batch).unsqueeze(1) + 1).squeeze(1);
}

}  // namespace spar::studies
