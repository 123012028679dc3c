#include "models/torch/attribution/attention_sources.h"

#include <vector>

#include <ATen/ops/bmm.h>

#include "base/status.h"
#include "models/torch/aten.h"
#include "models/torch/attribution/contributions.h"

namespace spar::models {
namespace {

at::Tensor RowPositions(const Trace& trace, const SiteNodes& site) {
  std::vector<int32_t> positions;
  for (int t = 0; t < trace.tokens; ++t) {
    positions.insert(positions.end(), site.RowsAt(t), t);
  }
  return Index(trace, positions);
}

// [T, K e] to the kv head of every query head, [H, T, e].
at::Tensor OfHeads(const Trace& trace, int layer, const at::Tensor& rows) {
  at::Tensor heads = rows.unflatten(1, {-1, trace.decoder->spec.head_dim});
  const at::Tensor& kv_of_head =
      trace.decoder->weights.layers[layer].attention.kv_of_head;
  if (kv_of_head.defined()) heads = heads.index_select(1, kv_of_head);
  return heads.transpose(0, 1);
}

}  // namespace

AttentionSources GatherAttentionSources(const Trace& trace,
                                        const NodeTable& nodes,
                                        int layer) {
  const DecoderSpec& spec = trace.decoder->spec;
  const int64_t dim = spec.head_dim;
  const int64_t q_size = spec.num_heads * dim;
  const int64_t kv_size = spec.num_kv_heads * dim;
  AttentionSources from;
  at::Tensor rest;  // of the values
  const SiteNodes* const fused = nodes.Find(SitePart::kQkv, layer);
  if (fused != nullptr) {
    const Contributions made = Contribute(trace, *fused);
    const at::Tensor rows = NodeRows(*fused, made);
    const at::Tensor positions = RowPositions(trace, *fused);
    from.q = {fused, rows.narrow(1, 0, q_size), positions};
    from.k = {fused, rows.narrow(1, q_size, kv_size), positions};
    from.v = {fused, rows.narrow(1, q_size + kv_size, kv_size), positions};
    if (made.rest.defined()) {
      rest = made.rest.narrow(1, q_size + kv_size, kv_size);
    }
  } else {
    const auto gather = [&](SitePart part) {
      const SiteNodes* const site = nodes.Find(part, layer);
      INVARIANT(site != nullptr);
      const Contributions made = Contribute(trace, *site);
      if (part == SitePart::kV) rest = made.rest;
      return SiteSources{site, NodeRows(*site, made),
                         RowPositions(trace, *site)};
    };
    from.q = gather(SitePart::kQ);
    from.k = gather(SitePart::kK);
    from.v = gather(SitePart::kV);
  }
  from.k.rows = TurnAt(trace, from.k.rows.unflatten(1, {-1, dim}),
                       from.k.positions, /*inverse=*/false)
                    .flatten(1);
  if (rest.defined()) {
    from.mixed_rest =
        at::bmm(trace.layers[layer].pattern, OfHeads(trace, layer, rest))
            .transpose(0, 1)
            .flatten(1);
  }
  return from;
}

at::Tensor TurnAt(const Trace& trace,
                  const at::Tensor& heads,
                  const at::Tensor& positions,
                  bool inverse) {
  if (!trace.cos.defined()) return heads;
  return TurnHeads(heads, trace.cos.index_select(0, positions),
                   trace.sin.index_select(0, positions), inverse);
}

}  // namespace spar::models
