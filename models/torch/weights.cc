#include "models/torch/weights.h"

#include <cstring>

#include "base/status.h"
#include "models/torch/aten.h"

namespace spar::models {
namespace {

at::ScalarType ToScalarType(Dtype dtype) {
  switch (dtype) {
    case Dtype::kFloat16:
      return at::kHalf;
    case Dtype::kBfloat16:
      return at::kBFloat16;
    case Dtype::kFloat32:
      break;
  }
  return at::kFloat;
}

}  // namespace

at::Tensor CopyTensor(const TensorView& view) {
  // Copied byte by byte: the mapping may be unaligned.
  at::Tensor stored = at::empty(view.shape, ToScalarType(view.dtype));
  INVARIANT(view.bytes.size() == stored.nbytes());
  std::memcpy(stored.mutable_data_ptr(), view.bytes.data(), view.bytes.size());
  return stored;
}

at::Tensor TakePart(const at::Tensor& tensor, const WeightRef& ref) {
  if (ref.groups == 1 && ref.parts == 1) return tensor;
  std::vector<int64_t> split = {ref.groups, ref.parts, -1};
  split.insert(split.end(), tensor.sizes().begin() + 1, tensor.sizes().end());
  at::Tensor part = tensor.reshape(split).select(1, ref.part);
  return part.flatten(0, 1);
}

at::Tensor LoadWeight(const Snapshot& snapshot,
                      const WeightRef& ref,
                      at::ScalarType dtype) {
  if (!ref.present()) return {};
  at::Tensor stored = CopyTensor(snapshot.Tensor(ref.tensor));
  if (ref.transposed) stored = stored.t();
  return TakePart(stored, ref).to(dtype).contiguous();
}

}  // namespace spar::models
