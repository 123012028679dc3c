// Test support: a random model with its spec or its tensors' layout changed.
#pragma once

#include <functional>
#include <memory>

#include "models/snapshot/snapshot.h"

namespace spar::models {

enum class QkvLayout {
  kSeparate,
  kConcatenated,  // GPT-2's c_attn: q, then k, then v; stored [in, out]
  kInterleaved,   // GPT-NeoX's query_key_value: q, k, v of one head, then the
                  // next; stored [out, in]
};

// The arithmetic of `snapshot` with q, k and v stored as `layout` says (one kv
// head per head where they are fused) and its spec edited.
std::shared_ptr<const Snapshot> EditSnapshot(
    std::shared_ptr<const Snapshot> snapshot,
    QkvLayout layout,
    const std::function<void(DecoderSpec&)>& edit);

}  // namespace spar::models
