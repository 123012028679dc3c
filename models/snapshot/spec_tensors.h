// L1. Which tensors a spec takes from its checkpoint, and of what shape.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "models/decoder_spec.h"

namespace spar::models {

// Tensor name to stored shape, for every tensor that the spec names.
std::map<std::string, std::vector<int64_t>> SpecTensors(
    const DecoderSpec& spec);

}  // namespace spar::models
