// L1. Rotary embedding in config.json, in its old and its new spelling.
#pragma once

#include <string>

#include "models/decoder_spec.h"
#include "models/snapshot/config_reader.h"

namespace spar::models {

// The old spelling's names, which differ by family, and what a family may do.
struct RotaryFields {
  std::string theta = "rope_theta";
  std::string partial = "partial_rotary_factor";
  double default_partial = 1.0;
  bool allows_partial = false;
};

// Reads `rope_parameters`, `rope_scaling` and the fields named by `fields`;
// those that say the same thing must agree. No scaling, linear and llama3 are
// known; any other is refused by name.
Rotary ReadRotary(ConfigReader& config,
                  int head_dim,
                  const RotaryFields& fields);

}  // namespace spar::models
