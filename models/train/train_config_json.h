// L1. A training's configuration as JSON, in the names that the reference
// library gives its fields: docs/training.md lists them.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "models/train/train_config.h"

namespace spar::models {

// Reads and checks the file. Relative paths in it are of its folder.
//   kNotFound         there is no such file
//   kInvalidArgument  BAD_TRAIN_CONFIG: a field is missing, unknown, of another
//                     type, out of range, or would have no effect; its path
//                     stands in the message
absl::StatusOr<TrainConfig> ReadTrainConfig(const std::filesystem::path& file);

struct TrainConfigOptions {
  // Whether pretrained_model_path names the target. If not, it may not be
  // there, and `model` stays empty.
  bool names_model = true;
};

// The same of a text; `file` names it in errors.
absl::StatusOr<TrainConfig> ParseTrainConfig(const std::filesystem::path& file,
                                             std::string_view text,
                                             TrainConfigOptions options = {});

}  // namespace spar::models
