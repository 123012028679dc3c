// L1t. Checkpoint tensors as at::Tensor, as the spec's WeightRef reads them.
#pragma once

#include <ATen/core/Tensor.h>

#include "models/decoder_spec.h"
#include "models/snapshot/snapshot.h"

namespace spar::models {

// The weight that `ref` names, [out, in] or [out], contiguous, on the CPU, in
// `dtype`; an undefined tensor when the ref is absent. Owns its memory. Throws
// c10::Error when memory runs out: call inside CatchTorch.
at::Tensor LoadWeight(const Snapshot& snapshot,
                      const WeightRef& ref,
                      at::ScalarType dtype);

// A stored tensor as it is, on the CPU, in its own dtype. Owns its memory.
// Throws c10::Error when memory runs out.
at::Tensor CopyTensor(const TensorView& view);

// The part that `ref` asks for of a tensor whose leading dimension is the whole
// output, [out, ...].
at::Tensor TakePart(const at::Tensor& tensor, const WeightRef& ref);

}  // namespace spar::models
