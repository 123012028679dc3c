// L1t. What is evaluated, and how much of it at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/importances.h"
#include "models/torch/decomposed_decoder.h"
#include "models/torch/sequences.h"

namespace spar::models {

// All outlive the evaluation.
struct EvaluationSubject {
  const DecompositionInfo* info = nullptr;
  DecomposedDecoder* decomposed = nullptr;
  // g of every module, [tokens, C], of a batch of whole prompts. May throw
  // c10::Error.
  std::function<std::vector<at::Tensor>(SequenceBatch&)> importances = nullptr;
};

struct EvaluationLimits {
  int64_t max_batch_bytes = int64_t{4} << 30;  // of one batch, all that is kept
};

}  // namespace spar::models
