// Test support: per-prompt pruning of one row as its definition has it, in
// float64: a textbook decoder with dense masks, automatic differentiation, and
// Adam one tensor at a time. Shares with the engine the weights and the random
// numbers, and nothing else.
#pragma once

#include <cstdint>
#include <vector>

#include "models/prune.h"
#include "models/torch/decomposed_decoder.h"

namespace spar::models {

struct PlainStep {
  PruneLosses losses = {};
  int64_t size = 0;  // after the step
};

// Every step of the request's first prompt and coefficient. The decoder is of
// PrunedShape, with a decomposed q, k, v, o, up and down in every layer.
// `logits`: z of every module, [tokens, C].
std::vector<PlainStep> PrunePlainly(const DecomposedDecoder& decomposed,
                                    const PruneRequest& request,
                                    const std::vector<at::Tensor>& logits);

// Logits of the last token, [vocab]. masks: [module][tokens, C]; deltas:
// [module][tokens].
at::Tensor PlainLogits(const DecomposedDecoder& decomposed,
                       const std::vector<TokenId>& tokens,
                       const std::vector<at::Tensor>& masks,
                       const std::vector<at::Tensor>& deltas);

}  // namespace spar::models
