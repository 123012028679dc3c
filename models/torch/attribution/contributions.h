// L1t. What the nodes of a graph write, and what they read with.
//
// A source's contribution is what it adds to its matrix's output: mask *
// activation * U_c of a subcomponent, the vector itself of a vector node. The
// value of an edge is the target's derivative along its source's contribution,
// and the contributions of a site with its rest add up to its whole output.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/attribution/node_table.h"
#include "models/torch/attribution/trace.h"

namespace spar::models {

// Rows of [out] in the engine's order.
struct Contributions {
  at::Tensor scalars = {};               // [scalar nodes, out]
  std::vector<at::Tensor> vectors = {};  // of each vector node, [T, out]
  // What the site writes beyond its nodes, [T, out]; undefined when nothing.
  at::Tensor rest = {};
};

Contributions Contribute(const Trace& trace, const SiteNodes& site);

// Puts contributions into `rows`: the nodes of position t from first_row[t] on
// in node order, and if `with_rest` the rest behind them, zero where there is
// none.
void Place(const SiteNodes& site,
           const Contributions& from,
           const std::vector<int64_t>& first_row,
           bool with_rest,
           at::Tensor rows);

// The site's nodes in node order, [nodes, out], without the rest.
at::Tensor NodeRows(const SiteNodes& site, const Contributions& from);

// The same rows for one position of a matrix, [RowsAt(t), out].
at::Tensor MatrixRowsAt(const Trace& trace, const SiteNodes& site, int t);

// What the scalar targets [begin, end) of a site multiply their input by, [end
// - begin, in]: V_c; the token's row of the unembedding; of a neuron the slope
// of its post-activation along the normed stream. Not of heads.
at::Tensor ReaderRows(const Trace& trace,
                      const SiteNodes& site,
                      int64_t begin,
                      int64_t end);

// Activations of the scalar nodes, [scalar nodes]. Not of logits.
at::Tensor Activations(const Trace& trace, const SiteNodes& site);

// A list of numbers on the trace's device.
at::Tensor Index(const Trace& trace, std::span<const int32_t> values);

}  // namespace spar::models
