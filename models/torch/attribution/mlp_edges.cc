#include "models/torch/attribution/mlp_edges.h"

#include <vector>

#include "base/status.h"
#include "models/torch/aten.h"
#include "models/torch/attribution/activations.h"
#include "models/torch/attribution/contributions.h"

namespace spar::models {
namespace {

// One matrix before the neurons, and the slope of every neuron along it.
struct Sources {
  const SiteNodes* site = nullptr;
  at::Tensor slope = {};  // [T, F]
};

std::vector<Sources> SourcesOf(const Trace& trace,
                               const NodeTable& nodes,
                               int layer) {
  const DecoderSpec& spec = trace.decoder->spec;
  const LayerTrace& run = trace.layers[layer];
  const SiteNodes* const up = nodes.Find(SitePart::kUp, layer);
  INVARIANT(up != nullptr);
  if (!spec.gated_mlp) return {{up, SlopeAt(spec.activation, run.up)}};
  const SiteNodes* const gate = nodes.Find(SitePart::kGate, layer);
  INVARIANT(gate != nullptr);
  return {{gate, SlopeAt(spec.activation, run.gate) * run.up},
          {up, ActivationAt(spec.activation, run.gate)}};
}

}  // namespace

absl::Status MlpEdges(const Trace& trace,
                      const NodeTable& nodes,
                      const SiteNodes& targets,
                      IncomingSink& sink) {
  const std::vector<Sources> all = SourcesOf(trace, nodes, targets.site.layer);
  std::vector<IncomingSpan> spans;
  // A position at a time, so that its rows of V and U stay in the cache.
  for (int t = 0; t < trace.tokens; ++t) {
    const int64_t count = targets.ScalarsAt(t);
    if (count == 0) continue;
    const at::Tensor v =
        ReaderRows(trace, targets, targets.begin[t], targets.begin[t + 1]);
    std::vector<at::Tensor> blocks;
    for (const Sources& sources : all) {
      blocks.push_back(at::mm(v * sources.slope.select(0, t),
                              MatrixRowsAt(trace, *sources.site, t).t())
                           .to(at::kCPU, at::kDouble)
                           .contiguous());
    }
    for (int64_t i = 0; i < count; ++i) {
      spans.clear();
      for (size_t s = 0; s < all.size(); ++s) {
        const int64_t columns = blocks[s].size(1);
        spans.push_back(
            {.source_site = all[s].site->number,
             .first_source = all[s].site->FirstNode(t),
             .values = {blocks[s].const_data_ptr<double>() + i * columns,
                        static_cast<size_t>(columns)}});
      }
      RETURN_IF_ERROR(
          sink.OnTarget(targets.number,
                        static_cast<int32_t>(targets.FirstNode(t) + i), spans));
    }
  }
  return sink.EndOfSites();
}

}  // namespace spar::models
