// L1. Fields of config.json that leave the arithmetic of a causal decoder
// alone.
#pragma once

#include <string_view>

#include "nlohmann/json.hpp"

namespace spar::models {

// Whether `field` never matters, or does not at this value.
bool IsHarmlessField(std::string_view field, const nlohmann::json& value);

}  // namespace spar::models
