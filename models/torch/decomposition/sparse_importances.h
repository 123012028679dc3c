// L1t. Causal importances of a batch of prompts, as sparse lists.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "models/importances.h"
#include "models/row.h"
#include "models/torch/decomposition/loaded_decomposition.h"

namespace spar::models {

// One answer per prompt, in order; prompts run together, as many at once as
// keep the working memory near `max_bytes`. The prompts fit the model.
//   kInvalidArgument    PROMPT_TOO_LONG for the CI function
//   kResourceExhausted  out of memory
absl::StatusOr<std::vector<PromptImportances>> ComputeImportances(
    const Decoder& decoder,
    const LoadedDecomposition& decomposition,
    std::span<const std::vector<TokenId>> prompts,
    const ImportanceOptions& options,
    int64_t max_bytes);

// g of every module for one prompt, [tokens, C], on the device. Throws
// c10::Error. kInvalidArgument PROMPT_TOO_LONG as above.
absl::StatusOr<std::vector<at::Tensor>> DenseImportances(
    const Decoder& decoder,
    const LoadedDecomposition& decomposition,
    std::span<const TokenId> tokens);

// The same for a batch of whole prompts that the CI function takes, their
// tokens one after another. Throws c10::Error; follows no grad mode.
std::vector<at::Tensor> BatchImportances(
    const Decoder& decoder,
    const LoadedDecomposition& decomposition,
    SequenceBatch& batch);

// The CI logits z of every module for one prompt that the CI function takes,
// [tokens, C], on the device. Throws c10::Error.
std::vector<at::Tensor> DenseLogits(const Decoder& decoder,
                                    const LoadedDecomposition& decomposition,
                                    std::span<const TokenId> tokens);

// kInvalidArgument PROMPT_TOO_LONG for the CI function; `field` is the prompt's
// path.
absl::Status CheckImportanceLength(const LoadedDecomposition& decomposition,
                                   size_t length,
                                   const std::string& field);

}  // namespace spar::models
