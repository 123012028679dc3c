// L1. The digest that names what units outside S are replaced by.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "models/row.h"

namespace spar::models {

// SHA-256 of "zero", or of "mean" followed by the prompts as canonical JSON:
// "mean[[1,2],[3]]".
std::string ReferenceDigestOf(ReferenceKind kind,
                              std::span<const std::vector<TokenId>> prompts);

}  // namespace spar::models
