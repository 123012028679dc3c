// L1t. The decoder restricted to what each row keeps, sharing all that rows
// have in common. See Note [Exact reuse].
#pragma once

#include <span>
#include <vector>

#include "models/row.h"
#include "models/torch/compaction.h"
#include "models/torch/torch_backend.h"

namespace spar::models {

// The residual stream at the last position of every row before the final norm,
// [rows, width], in the rows' order. The rows fit the model and share one
// reference kind; `reference` is null for zero. Runs best on rows of few
// distinct sequences and few distinct sets. Throws c10::Error; call in
// InferenceMode.
at::Tensor RestrictedStreams(const Decoder& decoder,
                             Compaction& compaction,
                             std::span<const Row* const> rows,
                             const ReferenceFold* reference,
                             const ReuseOptions& reuse);

}  // namespace spar::models
