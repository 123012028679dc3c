#include "models/torch/attribution/sites.h"

#include <string>
#include <string_view>

namespace spar::models {
namespace {

// "transformer.h.0.attn.c_attn.weight" -> "transformer.h.0.attn.c_attn".
std::string ModuleName(const WeightRef& ref) {
  constexpr std::string_view kSuffix = ".weight";
  std::string name = ref.tensor;
  if (name.ends_with(kSuffix)) name.resize(name.size() - kSuffix.size());
  return name;
}

std::string NameOf(const DecoderSpec& spec, SitePart part, int layer) {
  switch (part) {
    case SitePart::kEmbedding:
      return ModuleName(spec.token_embedding);
    case SitePart::kLogits:
      return ModuleName(spec.unembedding.weight);
    default:
      break;
  }
  const LayerSpec& of = spec.layers[layer];
  switch (part) {
    case SitePart::kQ:
    case SitePart::kQkv:
      return ModuleName(of.q.weight);
    case SitePart::kK:
      return ModuleName(of.k.weight);
    case SitePart::kV:
      return ModuleName(of.v.weight);
    case SitePart::kO:
      return ModuleName(of.o.weight);
    case SitePart::kGate:
      return ModuleName(of.gate.weight);
    case SitePart::kUp:
      return ModuleName(of.up.weight);
    case SitePart::kDown:
      return ModuleName(of.down.weight);
    case SitePart::kHeads:
      return of.attention_module;
    default:
      return of.mlp_module;
  }
}

NodeKind ScalarKind(SitePart part) {
  switch (part) {
    case SitePart::kHeads:
      return NodeKind::kHead;
    case SitePart::kNeurons:
      return NodeKind::kNeuron;
    case SitePart::kLogits:
      return NodeKind::kLogit;
    default:
      return NodeKind::kSubcomponent;
  }
}

SiteNodes Site(const DecoderSpec& spec,
               SitePart part,
               int layer,
               std::vector<NodeKind> vectors) {
  return {
      .site = {.part = part, .layer = layer, .name = NameOf(spec, part, layer)},
      .scalar_kind = ScalarKind(part),
      .vectors = std::move(vectors)};
}

}  // namespace

std::vector<SiteNodes> SitesOf(const Trace& trace) {
  const DecoderSpec& spec = trace.decoder->spec;
  std::vector<SiteNodes> sites;
  sites.push_back(Site(spec, SitePart::kEmbedding, -1, {NodeKind::kEmbedding}));
  for (const ModuleTrace& module : trace.modules) {
    if (module.part == SitePart::kEmbedding) continue;
    std::vector<NodeKind> vectors = {NodeKind::kDelta};
    if (module.bias.defined()) vectors.push_back(NodeKind::kBias);
    sites.push_back(Site(spec, module.part, module.layer, std::move(vectors)));
  }
  for (int layer = 0; trace.modules.empty() && layer < spec.num_layers;
       ++layer) {
    const LayerSpec& of = spec.layers[layer];
    sites.push_back(Site(spec, SitePart::kHeads, layer, {}));
    if (of.o.bias.present()) {
      sites.push_back(Site(spec, SitePart::kO, layer, {NodeKind::kBias}));
    }
    sites.push_back(Site(spec, SitePart::kNeurons, layer, {}));
    if (of.down.bias.present()) {
      sites.push_back(Site(spec, SitePart::kDown, layer, {NodeKind::kBias}));
    }
  }
  sites.push_back(Site(spec, SitePart::kLogits, -1, {}));
  return sites;
}

}  // namespace spar::models
