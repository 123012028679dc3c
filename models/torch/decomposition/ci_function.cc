#include "models/torch/decomposition/ci_function.h"

#include "models/torch/decomposition/ci_kinds.h"

namespace spar::models {

std::unique_ptr<CiFunction> LoadCiFunction(const StoredTensors& tensors) {
  switch (tensors.spec().ci.kind) {
    case CiKind::kMlp:
      return LoadCiMlp(tensors);
    case CiKind::kVectorMlp:
      return LoadCiVectorMlp(tensors);
    case CiKind::kSharedMlp:
      return LoadCiSharedMlp(tensors);
    case CiKind::kSequenceMlp:
      return LoadCiSequenceMlp(tensors);
    case CiKind::kGlobalSharedMlp:
      return LoadCiGlobalMlp(tensors);
    case CiKind::kGlobalSharedTransformer:
      return LoadCiTransformer(tensors);
    case CiKind::kGlobalReverseResidual:
      break;
  }
  return LoadCiReverseResidual(tensors);
}

}  // namespace spar::models
