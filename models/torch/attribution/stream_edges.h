// L1t. Edges through the residual stream: from everything that writes it to
// everything that reads it later at the same position, and through the values
// of a head to that head.
//
// A reader v of the stream behind a norm reads its change dx as (J^T v) . dx.
// With x the norm's input (centred for layer norm), gamma its gain, sigma^2 =
// |x|^2 / d + epsilon (search.md section 5.2; J is symmetric but for gamma):
//   J^T v = (C gamma v - x (gamma v . x) / (d sigma^2)) / sigma
// where C subtracts the mean (layer norm only); a frozen norm leaves out the
// second term. So the edges of one position are one product, [readers, d] x
// [d, writers].
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"

#include <ATen/core/Tensor.h>

#include "models/torch/attribution/incoming.h"
#include "models/torch/attribution/node_table.h"
#include "models/torch/attribution/stream_writers.h"
#include "models/torch/attribution/trace.h"

namespace spar::models {

class StreamEdges {
 public:
  // All arguments outlive this. Throws c10::Error, as does all else here.
  StreamEdges(const Trace& trace,
              const NodeTable& nodes,
              NormGradient norm,
              IncomingSink& sink,
              IdentityCheck& identity);

  // Into sites that read the same norm: q, k, v of a layer; gate and up;
  // neurons; logits.
  absl::Status Into(const std::vector<const SiteNodes*>& targets,
                    const NormTrace& norm);
  // Into the heads of a layer, along their outputs, through their values.
  absl::Status IntoHeads(const SiteNodes& targets, const NormTrace& norm);

 private:
  struct Readers {
    at::Tensor rows = {};       // [n, d], J^T v
    at::Tensor along = {};      // [n], v . normed x, without the norm's bias
    at::Tensor predicted = {};  // [n], what all contributions add up to
  };
  struct Target {
    const SiteNodes* site = nullptr;
    int32_t node = 0;
    int position = 0;
  };

  // rows: [n, d] behind the norm at `positions`, [n].
  Readers ThroughNorm(const NormTrace& norm,
                      const at::Tensor& rows,
                      const at::Tensor& positions) const;
  // Rows J^T v times all that is written at a position; float64 on the host.
  at::Tensor WrittenTo(const at::Tensor& readers,
                       int position,
                       int num_writers) const;
  absl::Status IntoPositions(const std::vector<const SiteNodes*>& targets,
                             const NormTrace& norm,
                             int begin,
                             int end);
  absl::Status IntoHeadsAt(const SiteNodes& targets,
                           const NormTrace& norm,
                           const at::Tensor& readers,
                           int begin,
                           int end);
  // Along each head's output, through its values, to the normed stream: [n, d].
  at::Tensor HeadReaders(const SiteNodes& targets) const;

  const Trace& trace_;
  const NormGradient norm_;
  IncomingSink& sink_;
  IdentityCheck& identity_;
  const StreamWriters writers_;
};

}  // namespace spar::models
