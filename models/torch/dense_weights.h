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
