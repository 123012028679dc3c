// L1. A decomposition of random numbers in memory, for tests and measurements.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/status.h"

#include "models/decomposition/decomposition.h"
#include "models/decomposition_spec.h"

namespace spar::models {

// The modules of `target` whose site `components` names, with that many
// subcomponents each, and `ci` about them. A reverse residual without groups
// gets one group for each layer, the last first.
DecompositionSpec RandomDecompositionSpec(
    const Snapshot& target,
    const std::map<ModuleSite, int>& components,
    CiSpec ci);

struct RandomDecompositionOptions {
  uint64_t seed = 0;
  // Where the logits of the CI function lie. They spread by about one, behind a
  // deep transformer by a few. The lower, the fewer are alive.
  double logit_center = 0.4;
};

// A Decomposition of this spec, float32. The same options give the same
// numbers. Streams stay of order one, so that everything matters.
std::shared_ptr<const Decomposition> MakeRandomDecomposition(
    DecompositionSpec spec, const RandomDecompositionOptions& options);

// Writes a decomposition of float32 tensors as a folder, as WriteDecomposition
// does.
absl::Status WriteDecompositionFolder(const std::filesystem::path& folder,
                                      const Decomposition& decomposition);

}  // namespace spar::models
