// Test support: direct effects by automatic differentiation, the truth that the
// closed form must equal.
//
// A textbook decoder in float64 on the checkpoint's own weights, in which every
// node is a tensor of its own that the gradient does not pass. Shares nothing
// with models/torch/attribution.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/attribution.h"
#include "models/row.h"
#include "models/snapshot/snapshot.h"

namespace spar::models {

// V [C, in], U [C, out], float64; as in the checkpoint.
struct PlainFactors {
  SitePart part = SitePart::kQ;
  int layer = -1;
  at::Tensor v = {};
  at::Tensor u = {};
};

struct PlainMasks {
  at::Tensor components = {};  // [T, C]
  at::Tensor delta = {};       // [T]
};

// A node's value, cut from what made it.
struct PlainSource {
  SitePart part = SitePart::kQ;
  int layer = -1;
  NodeKind kind = NodeKind::kSubcomponent;
  at::Tensor leaf = {};  // scalars: [T, n]; vectors: [T, n, out]

  bool is_vector() const { return leaf.dim() == 3; }
};

struct PlainTarget {
  SitePart part = SitePart::kQ;
  int layer = -1;
  at::Tensor values = {};  // [T, n], what made the node
};

struct PlainRun {
  std::vector<PlainSource> sources = {};
  std::vector<PlainTarget> targets = {};
  at::Tensor logits = {};  // [T, vocab]
};

// With factors: matrices as nodes, those without factors as one vector each.
// Without: heads and neurons. With `held`, the leaves of a run's sources, every
// node keeps the value that is held there instead of its own.
PlainRun RunPlainly(std::shared_ptr<const Snapshot> snapshot,
                    std::span<const TokenId> tokens,
                    const std::vector<PlainFactors>& factors,
                    const std::vector<PlainMasks>& masks,
                    NormGradient norm,
                    const std::vector<at::Tensor>& held = {});

// (d target / d source) . source of every source, [T, n] each: one backward
// pass.
std::vector<at::Tensor> PlainEdges(const PlainRun& run,
                                   const at::Tensor& target);

}  // namespace spar::models
