// L1. JSON of a model folder, read strictly: no duplicate keys, bounded depth,
// no exceptions.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace spar::models {

// The object that `text` is. The error is a plain kInvalidArgument sentence,
// to be put behind a file name with BadModel().
absl::StatusOr<nlohmann::json> ParseJsonObject(std::string_view text);

}  // namespace spar::models
