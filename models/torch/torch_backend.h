// L1t. The Backend on LibTorch: CPU and CUDA by option.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "models/backend.h"
#include "models/decomposition/decomposition.h"
#include "models/snapshot/snapshot.h"

namespace spar::models {

// What Evaluate may share or leave out. Every one is exact; tests and
// measurements turn them off.
struct ReuseOptions {
  bool batch_rows = true;         // one product per weight for many rows
  bool share_layers = true;       // rows part where their masks first differ
  bool compact_positions = true;  // deleted positions are not computed
  bool compact_units = true;      // nor units that no row of a batch keeps
  bool readout_only = true;       // last layer: the readout position only
};

// A decomposition of the snapshot, under a name of its own.
struct NamedDecomposition {
  std::string name = {};
  std::shared_ptr<const Decomposition> decomposition = nullptr;
};

struct TorchBackendOptions {
  std::string device = "cpu";     // "cpu", "cuda", "cuda:1"
  std::string dtype = "float32";  // of weights and activations
  int num_threads = 0;            // intra-op; 0: LibTorch's own choice
  int64_t max_batch_bytes = 0;    // activations of one batch; 0: a quarter
                                  // of the host memory free at load; 4 GiB
                                  // on CUDA
  std::vector<std::vector<TokenId>> reference_prompts = {};
  std::filesystem::path cache_dir = {};  // mean activations; empty: none kept
  ReuseOptions reuse = {};
  std::vector<NamedDecomposition> decompositions = {};
  // What their numbers are stored in: "float32", "bfloat16". Arithmetic is
  // float32 either way. EvaluateExactly reads the folder's numbers, so of rows
  // over the units of a decomposition kept in bfloat16 it differs from Evaluate
  // by the rounding of the factors, which is no part of the noise floor.
  std::string decomposition_dtype = "float32";
};

// `count` backends on the same weights and decompositions, each for a thread of
// its own; on CUDA one, for one device has one worker. Errors as
// MakeTorchBackend.
absl::StatusOr<std::vector<std::unique_ptr<Backend>>> MakeTorchBackends(
    std::shared_ptr<const Snapshot> snapshot,
    const TorchBackendOptions& options,
    int count);

// Uploads the weights and calibrates (about a second). The backend keeps the
// snapshot and the decompositions. Errors: kInvalidArgument BAD_DEVICE,
// BAD_DTYPE, a reference prompt that does not fit the model, or a decomposition
// that is not its target with all masks at 1 (BAD_MODEL) or whose name is taken
// (BAD_DECOMPOSITION_NAME); kResourceExhausted when the weights do not fit,
// with the two numbers.
absl::StatusOr<std::unique_ptr<Backend>> MakeTorchBackend(
    std::shared_ptr<const Snapshot> snapshot,
    const TorchBackendOptions& options);

}  // namespace spar::models
