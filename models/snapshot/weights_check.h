// L1. The weights of a model: which they are, that they are finite, and their
// digest.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "models/snapshot/family.h"
#include "models/snapshot/snapshot.h"
#include "models/snapshot/tensor_table.h"

namespace spar::models {

// Tensors by name, sorted; views into the table's mappings.
using TensorViews = std::map<std::string, TensorView, std::less<>>;

// The tensors of these names and shapes, checked for presence, dtype and shape.
// `described_by` is what the shapes come from, for messages: "the config".
absl::StatusOr<TensorViews> SelectTensors(
    const std::map<std::string, std::vector<int64_t>>& shapes,
    std::string_view described_by,
    const TensorTable& tensors);

// The tensors that `spec` names, checked for presence, dtype and shape; any
// other tensor of the table must be a known buffer, or the head of a model with
// tied embeddings and then equal to them.
absl::StatusOr<TensorViews> SelectWeights(const DecoderSpec& spec,
                                          const Family& family,
                                          const std::string& prefix,
                                          const TensorTable& tensors);

// SHA-256 over the weights as Snapshot::weights_digest() defines it. Reads each
// once; BAD_MODEL with tensor and index where a number is not finite. A digest
// found in `cache_dir` is taken instead.
absl::StatusOr<std::string> WeightsDigest(
    const TensorViews& weights,
    const TensorTable& tensors,
    const std::filesystem::path& cache_dir);

}  // namespace spar::models
