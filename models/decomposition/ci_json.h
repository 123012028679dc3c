// L1. The `ci` object of decomposition.json: read and written.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

#include "models/decomposition_spec.h"
#include "models/snapshot/config_reader.h"

namespace spar::models {

// The field "ci" of the file, about these modules. The error is of a group, or
// stays in `config`; the spec is then unusable.
absl::StatusOr<CiSpec> ReadCi(ConfigReader& config,
                              const std::vector<DecomposedModule>& modules);

nlohmann::json CiJson(const DecompositionSpec& spec);

}  // namespace spar::models
