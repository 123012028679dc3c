// L1t. The Backend on LibTorch: CPU and CUDA by option.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "models/backend.h"
#include "models/snapshot/snapshot.h"

namespace spar::models {

struct TorchBackendOptions {
  std::string device = "cpu";     // "cpu", "cuda", "cuda:1"
  std::string dtype = "float32";  // of weights and activations
  int num_threads = 0;            // intra-op; 0: LibTorch's own choice
  int64_t max_batch_bytes = 0;    // activations of one batch; 0: from the
                                  // memory that is free at load
  std::vector<std::vector<TokenId>> reference_prompts = {};
  std::filesystem::path cache_dir = {};  // mean activations; empty: none kept
};

// Uploads the weights and calibrates (about a second). The backend keeps the
// snapshot. Errors: kInvalidArgument BAD_DEVICE, BAD_DTYPE, or a reference
// prompt that does not fit the model; kResourceExhausted when the weights do
// not fit, with the two numbers.
absl::StatusOr<std::unique_ptr<Backend>> MakeTorchBackend(
    std::shared_ptr<const Snapshot> snapshot,
    const TorchBackendOptions& options);

}  // namespace spar::models
