// L1. Writes a decomposition folder.
#pragma once

#include <filesystem>
#include <vector>

#include "absl/status/status.h"

#include "models/decomposition_spec.h"
#include "models/snapshot/safetensors_writer.h"

namespace spar::models {

// Makes `folder` where it is missing and writes decomposition.safetensors and
// then decomposition.json into it, each by rename. `tensors` are those of
// DecompositionTensors(spec). Other files of the folder are left alone.
//   kInvalidArgument  a tensor is missing, unknown, or of another shape
//   kUnavailable      a file cannot be written
absl::Status WriteDecomposition(const std::filesystem::path& folder,
                                const DecompositionSpec& spec,
                                std::vector<NamedTensor> tensors);

}  // namespace spar::models
