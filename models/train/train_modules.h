// L1. From the patterns of a training's configuration to its decomposition.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "models/decomposition_spec.h"
#include "models/train/train_config.h"

namespace spar::models {

// The spec of what the config trains. `modules`: those that the target offers,
// in its order, which the spec keeps; each pattern picks some by name, `*` and
// `?` as in file names, `*` also across dots.
//   kInvalidArgument  BAD_TRAIN_CONFIG: a pattern that picks nothing, a module
//                     picked twice, groups that are no partition, or a CI
//                     function that cannot read a module
absl::StatusOr<DecompositionSpec> SpecOf(
    const TrainConfig& config,
    const std::vector<DecomposedModule>& modules,
    const std::string& target_digest);

}  // namespace spar::models
