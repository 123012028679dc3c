#include "models/torch/attribution/graph_edges.h"

#include <algorithm>
#include <initializer_list>
#include <vector>

#include "base/status.h"
#include "models/torch/attribution/attention_edges.h"
#include "models/torch/attribution/chunks.h"
#include "models/torch/attribution/mlp_edges.h"
#include "models/torch/attribution/stream_edges.h"

namespace spar::models {
namespace {

// Of these parts of a layer, the sites that have targets.
std::vector<const SiteNodes*> Targets(const NodeTable& nodes,
                                      int layer,
                                      std::initializer_list<SitePart> parts) {
  std::vector<const SiteNodes*> found;
  for (const SitePart part : parts) {
    const SiteNodes* const site = nodes.Find(part, layer);
    if (site != nullptr && site->num_scalars() > 0) found.push_back(site);
  }
  return found;
}

}  // namespace

absl::Status GraphEdges(const Trace& trace,
                        const NodeTable& nodes,
                        NormGradient norm,
                        IncomingSink& sink,
                        IdentityChecks& identities) {
  StreamEdges stream(trace, nodes, norm, sink, identities.stream);
  const auto into = [&](int layer, std::initializer_list<SitePart> parts,
                        const NormTrace& at) {
    const auto targets = Targets(nodes, layer, parts);
    return targets.empty() ? absl::OkStatus() : stream.Into(targets, at);
  };
  for (int layer = 0; layer < trace.decoder->spec.num_layers; ++layer) {
    const LayerTrace& run = trace.layers[layer];
    RETURN_IF_ERROR(
        into(layer, {SitePart::kQ, SitePart::kK, SitePart::kV, SitePart::kQkv},
             run.attention_norm));
    for (const SiteNodes* const o : Targets(nodes, layer, {SitePart::kO})) {
      RETURN_IF_ERROR(
          AttentionEdges(trace, nodes, *o, sink, identities.values));
    }
    for (const SiteNodes* const heads :
         Targets(nodes, layer, {SitePart::kHeads})) {
      RETURN_IF_ERROR(stream.IntoHeads(*heads, run.attention_norm));
    }
    RETURN_IF_ERROR(into(layer,
                         {SitePart::kGate, SitePart::kUp, SitePart::kNeurons},
                         run.mlp_norm));
    for (const SiteNodes* const down :
         Targets(nodes, layer, {SitePart::kDown})) {
      RETURN_IF_ERROR(MlpEdges(trace, nodes, *down, sink));
    }
  }
  return into(-1, {SitePart::kLogits}, trace.final_norm);
}

int64_t GraphBytes(const DecoderSpec& spec,
                   const NodeTable& nodes,
                   at::ScalarType dtype) {
  // The stream's rows stay; those of one attention layer come and go, in up to
  // three copies while they are gathered.
  const int64_t out =
      int64_t{spec.num_heads + 2 * spec.num_kv_heads} * spec.head_dim;
  int64_t most = 0;
  for (const SiteNodes& site : nodes.sites()) {
    if (site.site.part == SitePart::kUp || site.site.part == SitePart::kGate) {
      continue;
    }
    most = std::max(most, site.RowsBefore(nodes.tokens()) * out * 3);
  }
  return (StreamWriters::CountNumbers(nodes, spec.width) + most) *
             int64_t(c10::elementSize(dtype)) +
         4 * kChunkBytes;
}

int64_t TraceBytes(const DecoderSpec& spec,
                   int64_t tokens,
                   int64_t components,
                   at::ScalarType dtype) {
  const int64_t heads = int64_t{spec.num_heads} * spec.head_dim;
  const int64_t width = spec.width;
  const int64_t per_layer = 12 * width + 12 * heads +
                            8 * int64_t{spec.mlp_width} +
                            3 * spec.num_heads * tokens;
  return tokens * (spec.num_layers * per_layer + 2 * components) *
         int64_t(c10::elementSize(dtype));
}

}  // namespace spar::models
