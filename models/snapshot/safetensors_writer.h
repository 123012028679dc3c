// L1. Writes one .safetensors file of float32 tensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace spar::models {

// Lent: the values must outlive the call. Row-major; one value per element of
// the shape.
struct NamedTensor {
  std::string name = {};  // UTF-8
  std::vector<int64_t> shape = {};
  std::span<const float> values = {};
};

// Tensors are stored sorted by name; the same tensors give the same bytes. The
// file appears whole, by rename, or not at all.
//   kInvalidArgument  a name occurs twice, is "__metadata__" or no UTF-8, or a
//                     shape does not fit its values; BAD_MODEL
//   kUnavailable      the file cannot be written
absl::Status WriteSafetensors(const std::filesystem::path& path,
                              std::vector<NamedTensor> tensors);

}  // namespace spar::models
