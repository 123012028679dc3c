// L1t. All that is written into the residual stream, by position.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/attribution/incoming.h"
#include "models/torch/attribution/node_table.h"
#include "models/torch/attribution/trace.h"

namespace spar::models {

// The sites that write the stream in the order of the graph, and one row of
// `width` for each of their nodes and for each one's rest.
class StreamWriters {
 public:
  // Gathers the rows. `nodes` outlives this. Throws c10::Error.
  StreamWriters(const Trace& trace, const NodeTable& nodes);

  int64_t num_rows() const { return rows_.size(0); }
  // How many writers, the first ones, come before `reader`: those of earlier
  // layers, and of its own layer's attention where it reads behind that.
  int Before(const AttributionSite& reader) const;

  // What the first `num_writers` write at a position: [Columns, width], writer
  // by writer: its nodes, then its rest.
  int64_t Columns(int position, int num_writers) const;
  at::Tensor RowsAt(int position, int num_writers) const;
  // Names the sources of `row`, one value for each of those rows; the rests are
  // left out. The spans lend from `row`.
  void AddSpans(const double* row,
                int position,
                int num_writers,
                std::vector<IncomingSpan>& spans) const;

  // Numbers in the rows that would be gathered for these nodes.
  static int64_t CountNumbers(const NodeTable& nodes, int width);

 private:
  const bool parallel_residual_;
  std::vector<const SiteNodes*> writers_;
  std::vector<std::vector<int64_t>> first_row_;  // [writer + 1][position]
  at::Tensor rows_;                              // position by position
};

}  // namespace spar::models
