// L1. The canonical JSON of a spec: what the model's digest says about its
// arithmetic beside the weights.
#pragma once

#include <string>

#include "models/decoder_spec.h"

namespace spar::models {

// One line, keys sorted, no spaces, numbers as Python's json.dumps writes them.
// Holds the numbers and choices of the spec, not the names of its tensors, so
// the two spellings of one config give the same text.
std::string SpecJson(const DecoderSpec& spec);

}  // namespace spar::models
