// L1t. The kinds of causal importance functions, as docs/formats.md defines
// each.
#pragma once

#include <memory>

#include "models/torch/decomposition/ci_function.h"

namespace spar::models {

std::unique_ptr<CiFunction> LoadCiMlp(const StoredTensors& tensors);
std::unique_ptr<CiFunction> LoadCiVectorMlp(const StoredTensors& tensors);
std::unique_ptr<CiFunction> LoadCiSharedMlp(const StoredTensors& tensors);
std::unique_ptr<CiFunction> LoadCiSequenceMlp(const StoredTensors& tensors);
std::unique_ptr<CiFunction> LoadCiGlobalMlp(const StoredTensors& tensors);
std::unique_ptr<CiFunction> LoadCiTransformer(const StoredTensors& tensors);
std::unique_ptr<CiFunction> LoadCiReverseResidual(const StoredTensors& tensors);

}  // namespace spar::models
