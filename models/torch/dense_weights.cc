// L1t. A snapshot's weights as float64, read for the checker and by it alone.
#include "models/torch/dense_weights.h"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "models/torch/aten.h"

namespace spar::models {
namespace {

template <typename Bits>
Bits Load(const std::byte* at, int64_t index) {
  Bits bits{};
  std::memcpy(&bits, at + index * sizeof(Bits), sizeof(Bits));
  return bits;
}

// IEEE binary16 by its definition: sign, 5 exponent bits, 10 of fraction.
double FromHalf(uint16_t bits) {
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  const int exponent = (bits >> 10) & 0x1f;
  const int fraction = bits & 0x3ff;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

// `count` numbers of a tensor, from the element `first` on.
void Widen(const TensorView& from, int64_t first, int64_t count, double* to) {
  const std::byte* bytes = from.bytes.data();
  for (int64_t i = 0; i < count; ++i) {
    switch (from.dtype) {
      case Dtype::kFloat32:
        to[i] = std::bit_cast<float>(Load<uint32_t>(bytes, first + i));
        break;
      case Dtype::kBfloat16:
        to[i] = std::bit_cast<float>(uint32_t{Load<uint16_t>(bytes, first + i)}
                                     << 16);
        break;
      case Dtype::kFloat16:
        to[i] = FromHalf(Load<uint16_t>(bytes, first + i));
        break;
    }
  }
}

at::Tensor NewTensor(const std::vector<int64_t>& shape) {
  return at::empty(shape, at::TensorOptions().dtype(at::kDouble));
}

int64_t Elements(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  return count;
}

}  // namespace

at::Tensor ReadDense(const TensorView& view) {
  at::Tensor read = NewTensor(view.shape);
  Widen(view, 0, Elements(view.shape), read.mutable_data_ptr<double>());
  return read;
}

at::Tensor ReadDenseRows(const TensorView& view,
                         std::span<const int32_t> rows) {
  const int64_t columns = view.shape[1];
  at::Tensor read = NewTensor({static_cast<int64_t>(rows.size()), columns});
  double* to = read.mutable_data_ptr<double>();
  for (const int32_t row : rows) {
    Widen(view, row * columns, columns, to);
    to += columns;
  }
  return read;
}

at::Tensor ReadDenseColumns(const TensorView& view,
                            std::span<const int32_t> columns) {
  at::Tensor read =
      NewTensor({static_cast<int64_t>(columns.size()), view.shape[0]});
  double* to = read.mutable_data_ptr<double>();
  for (const int32_t column : columns) {
    for (int64_t row = 0; row < view.shape[0]; ++row) {
      Widen(view, row * view.shape[1] + column, 1, to++);
    }
  }
  return read;
}

// [groups][parts][rest] -> [groups x rest].
at::Tensor DensePart(const at::Tensor& whole, const WeightRef& ref) {
  if (ref.parts == 1) return whole;
  std::vector<int64_t> shape = whole.sizes().vec();
  const int64_t rest = shape[0] / (int64_t{ref.groups} * ref.parts);
  std::vector<int64_t> split = {ref.groups, ref.parts, rest};
  split.insert(split.end(), shape.begin() + 1, shape.end());
  shape[0] = ref.groups * rest;
  return whole.reshape(split).select(1, ref.part).reshape(shape).contiguous();
}

DenseWeights::DenseWeights(std::shared_ptr<const Snapshot> snapshot)
    : snapshot_(std::move(snapshot)) {}

DenseWeights::~DenseWeights() = default;

at::Tensor DenseWeights::Read(const WeightRef& ref) {
  const std::string key =
      base::Cat(ref.tensor, "#", ref.part, " of ", ref.parts);
  if (const auto found = kept_.find(key); found != kept_.end()) {
    return *found->second;
  }
  const TensorView& view = snapshot_->Tensor(ref.tensor);
  at::Tensor weight = ReadDense(view);
  if (ref.transposed && view.shape.size() == 2) weight = weight.t();
  weight = DensePart(weight, ref);
  const int64_t bytes = weight.numel() * int64_t{sizeof(double)};
  if (kept_bytes_ + bytes <= kKeptBytes) {
    kept_bytes_ += bytes;
    kept_.emplace(key, std::make_unique<at::Tensor>(weight));
  }
  return weight;
}

at::Tensor DenseWeights::ReadRows(const WeightRef& ref,
                                  std::span<const int32_t> rows) {
  return ReadDenseRows(snapshot_->Tensor(ref.tensor), rows);
}

}  // namespace spar::models
