// L1t. What is pruned, and how much of it at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/decomposition_spec.h"
#include "models/row.h"
#include "models/torch/decomposed_decoder.h"

namespace spar::models {

// All outlive the pruning.
struct PruneSubject {
  DecomposedDecoder* decomposed = nullptr;
  CiSigmoid sigmoid = CiSigmoid::kLeakyHard;
  MaskSampling sampling = MaskSampling::kContinuous;
  // z of every module, [tokens, C], of one prompt. May throw c10::Error.
  std::function<std::vector<at::Tensor>(std::span<const TokenId>)> logits =
      nullptr;
};

struct PruneLimits {
  // Tokens of one batch. More amortise what an operation costs; fewer keep the
  // activations near the processor and the subcomponents of a batch few.
  int max_batch_tokens = 512;
  int64_t max_batch_bytes = int64_t{1} << 30;   // masks, activations, logits
  int64_t max_state_bytes = int64_t{2} << 30;   // of the optimisation
  int64_t max_factor_bytes = int64_t{1} << 29;  // copies of V and U, kept
};

}  // namespace spar::models
