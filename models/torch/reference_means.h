// L1t. Mean activations over the model's reference prompts: what units outside
// S hold under ReferenceKind::kMean. See Note [Mean reference].
#pragma once

#include <span>
#include <string>
#include <vector>

#include "models/torch/masked_forward.h"

namespace spar::models {

// SHA-256 of "zero", or of "mean" followed by the prompts as canonical JSON:
// "mean[[1,2],[3]]".
std::string ReferenceDigestOf(ReferenceKind kind,
                              std::span<const std::vector<TokenId>> prompts);

// Runs the full model on `prompts`, at least one, that fit it. Throws
// c10::Error.
ReferenceValues MeasureMeans(const Decoder& decoder,
                             const std::vector<std::vector<TokenId>>& prompts);

}  // namespace spar::models
