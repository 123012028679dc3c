// L1. A checkpoint of a training: a folder with checkpoint.json and
// state.safetensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "models/snapshot/safetensors_reader.h"
#include "models/snapshot/safetensors_writer.h"

namespace spar::models {

struct CheckpointHead {
  std::string config_digest = {};
  std::string target_digest = {};  // of the target's weights
  std::map<std::string, int64_t> counters = {};
};

// Writes the folder whole, by rename, or not at all. kUnavailable.
absl::Status WriteCheckpoint(const std::filesystem::path& folder,
                             const CheckpointHead& head,
                             std::vector<NamedTensor> tensors);

struct Checkpoint {
  CheckpointHead head = {};
  SafetensorsFile tensors;
};

// BAD_CHECKPOINT, kNotFound where there is none.
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::filesystem::path& folder);

// kInvalidArgument, BAD_CHECKPOINT: "`folder`: `message`".
absl::Status BadCheckpoint(const std::filesystem::path& folder,
                           const std::string& message);

// The checkpoints of a training lie side by side, named by their step.
std::filesystem::path CheckpointFolder(const std::filesystem::path& output,
                                       int64_t step);
// The latest of them; empty: none.
std::filesystem::path LatestCheckpoint(const std::filesystem::path& output);
// Deletes all but the latest `kept`.
void PruneCheckpoints(const std::filesystem::path& output, int kept);

}  // namespace spar::models
