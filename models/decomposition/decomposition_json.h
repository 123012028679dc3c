// L1. decomposition.json: read, checked against the decoder, and written.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"

#include "models/decoder_spec.h"
#include "models/decomposition_spec.h"

namespace spar::models {

// The spec of a decomposition of `target`. BAD_MODEL with the field and the
// numbers. The target's digest is read, not compared.
absl::StatusOr<DecompositionSpec> ReadDecompositionJson(
    const std::filesystem::path& path, const DecoderSpec& target);

// What the file holds, for people: indented.
std::string DecompositionJsonText(const DecompositionSpec& spec);

// One line, keys sorted, no spaces, without `training` and `alive`: what a
// decomposition's digest says about its arithmetic.
std::string CanonicalDecompositionJson(const DecompositionSpec& spec);

}  // namespace spar::models
