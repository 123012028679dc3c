// L1t. What the nodes of one attention layer write into its q, k and v.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "models/torch/attribution/node_table.h"
#include "models/torch/attribution/trace.h"

namespace spar::models {

struct RowRange {
  int64_t begin = 0;
  int64_t end = 0;

  int64_t size() const { return end - begin; }
};

// What the nodes of one site write into q, k or v; e is the head's size.
struct SiteSources {
  const SiteNodes* site = nullptr;
  at::Tensor rows = {};       // [rows, heads e]
  at::Tensor positions = {};  // [rows]

  // The rows of positions [begin, end).
  RowRange RowsOf(int begin, int end) const {
    return {site->RowsBefore(begin), site->RowsBefore(end)};
  }
};

// Of one site, where the checkpoint has q, k and v in one matrix.
struct AttentionSources {
  SiteSources q = {};
  SiteSources k = {};  // turned by their positions
  SiteSources v = {};
  // What the values write beyond their nodes, mixed by the run's patterns: [T,
  // H e]; undefined when nothing.
  at::Tensor mixed_rest = {};
};

// `nodes` outlives the sources and has the layer's sites. Throws c10::Error.
AttentionSources GatherAttentionSources(const Trace& trace,
                                        const NodeTable& nodes,
                                        int layer);

// TurnHeads of [n, heads, e] by the run's tables at `positions`, [n].
at::Tensor TurnAt(const Trace& trace,
                  const at::Tensor& heads,
                  const at::Tensor& positions,
                  bool inverse);

}  // namespace spar::models
