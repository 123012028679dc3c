// L1t. A snapshot's weights as float64, read for the checker and by it alone.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "absl/container/flat_hash_map.h"

#include "models/row.h"
#include "models/snapshot/snapshot.h"

namespace at {
class Tensor;
}

namespace spar::models {

// A stored tensor as it is, float64.
at::Tensor ReadDense(const TensorView& view);
// Some rows of a two-dimensional one: [row][column].
at::Tensor ReadDenseRows(const TensorView& view, std::span<const int32_t> rows);
// Some columns: [column][row].
at::Tensor ReadDenseColumns(const TensorView& view,
                            std::span<const int32_t> columns);

// What a reference to a part of a fused weight means of a tensor whose first
// axis is the whole weight's outputs.
at::Tensor DensePart(const at::Tensor& whole, const WeightRef& ref);

// Reads a stored number at a time from the mapped file, so that a mistake in
// the engine's loader cannot hide in the check of it. Not thread-safe.
class DenseWeights {
 public:
  explicit DenseWeights(std::shared_ptr<const Snapshot> snapshot);
  ~DenseWeights();

  const DecoderSpec& spec() const { return snapshot_->spec(); }

  // The weight as WeightRef reads it: [out][in], or [out] of a vector. Kept for
  // later calls while all that is kept fits in kKeptBytes.
  at::Tensor Read(const WeightRef& ref);
  // Some rows of a two-dimensional tensor: [row][column].
  at::Tensor ReadRows(const WeightRef& ref, std::span<const int32_t> rows);

 private:
  static constexpr int64_t kKeptBytes = int64_t{256} << 20;

  const std::shared_ptr<const Snapshot> snapshot_;
  absl::flat_hash_map<std::string, std::unique_ptr<at::Tensor>> kept_;
  int64_t kept_bytes_ = 0;
};

}  // namespace spar::models
