// L1t. From logits to the numbers a caller asked for.
#pragma once

#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/backend.h"
#include "models/torch/parameters.h"

namespace spar::models {

// Per row of logits [n, vocab] (float32) with its target, which may be
// kOwnPrediction. Spoils the logits. Throws c10::Error.
std::vector<RowResult> ReadMargins(const at::Tensor& logits,
                                   std::vector<TokenId> targets);

// The same from the residual stream before the final norm, [n, width], some
// rows at a time.
std::vector<RowResult> ReadStreams(const Decoder& decoder,
                                   const at::Tensor& streams,
                                   std::span<const TokenId> targets);

// Per row of logits the best `top_k`; `next[i]`, where there is one, is the
// token whose log-probability row i reports.
std::vector<PositionPrediction> ReadPredictions(const at::Tensor& logits,
                                                std::span<const TokenId> next,
                                                int top_k);

}  // namespace spar::models
