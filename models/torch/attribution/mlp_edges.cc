#include "models/torch/attribution/mlp_edges.h"

#include <vector>

#include "base/status.h"
#include "models/torch/aten.h"
#include "models/torch/attribution/chunks.h"
#include "models/torch/attribution/contributions.h"

namespace spar::models {
namespace {

// One matrix before the neurons: what its nodes write, and the slope of every
// neuron along it.
struct Sources {
  const SiteNodes* site = nullptr;
  at::Tensor rows = {};     // [rows, F]
  at::Tensor slope = {};    // [T, F]
  at::Tensor readers = {};  // [n, F], of the targets in work
};

std::vector<Sources> GatherSources(const Trace& trace,
                                   const NodeTable& nodes,
                                   int layer) {
  const DecoderSpec& spec = trace.decoder->spec;
  const LayerTrace& run = trace.layers[layer];
  const auto gather = [&](SitePart part, const at::Tensor& slope) {
    const SiteNodes* const site = nodes.Find(part, layer);
    INVARIANT(site != nullptr);
    return Sources{.site = site,
                   .rows = NodeRows(*site, Contribute(trace, *site)),
                   .slope = slope};
  };
  if (!spec.gated_mlp) {
    return {gather(SitePart::kUp, SlopeAt(spec.activation, run.up))};
  }
  return {gather(SitePart::kGate, SlopeAt(spec.activation, run.gate) * run.up),
          gather(SitePart::kUp, ActivationAt(spec.activation, run.gate))};
}

}  // namespace

absl::Status MlpEdges(const Trace& trace,
                      const NodeTable& nodes,
                      const SiteNodes& targets,
                      IncomingSink& sink) {
  if (targets.num_scalars() == 0) return absl::OkStatus();
  std::vector<Sources> all = GatherSources(trace, nodes, targets.site.layer);
  const auto bytes = [&](int t) {
    return targets.ScalarsAt(t) * trace.decoder->spec.mlp_width *
           int64_t(2 + all.size()) * int64_t(c10::elementSize(trace.dtype));
  };
  std::vector<IncomingSpan> spans;
  for (const auto& [begin, end] : PositionChunks(trace.tokens, bytes)) {
    const int64_t first = targets.begin[begin];
    const int64_t count = targets.begin[end] - first;
    if (count == 0) continue;
    const at::Tensor v = ReaderRows(trace, targets, first, first + count);
    const at::Tensor positions =
        Index(trace, std::span(targets.position).subspan(first, count));
    for (Sources& sources : all) {
      sources.readers = sources.slope.index_select(0, positions).mul_(v);
    }
    for (int t = begin; t < end; ++t) {
      const int64_t targets_at = targets.ScalarsAt(t);
      if (targets_at == 0) continue;
      std::vector<at::Tensor> blocks;
      for (const Sources& sources : all) {
        blocks.push_back(at::mm(sources.readers.narrow(
                                    0, targets.begin[t] - first, targets_at),
                                sources.rows
                                    .narrow(0, sources.site->RowsBefore(t),
                                            sources.site->RowsAt(t))
                                    .t())
                             .to(at::kCPU, at::kDouble)
                             .contiguous());
      }
      for (int64_t i = 0; i < targets_at; ++i) {
        spans.clear();
        for (size_t s = 0; s < all.size(); ++s) {
          const int64_t columns = blocks[s].size(1);
          if (columns == 0) continue;
          spans.push_back(
              {.source_site = all[s].site->number,
               .first_source = all[s].site->FirstNode(t),
               .values = {blocks[s].const_data_ptr<double>() + i * columns,
                          static_cast<size_t>(columns)}});
        }
        RETURN_IF_ERROR(sink.OnTarget(
            targets.number, static_cast<int32_t>(targets.FirstNode(t) + i),
            spans));
      }
    }
  }
  return sink.EndOfSites();
}

}  // namespace spar::models
