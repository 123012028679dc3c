#include "models/torch/attribution/factors.h"

namespace spar::models {
namespace {

SitePart PartOf(ModuleSite site) {
  switch (site) {
    case ModuleSite::kEmbedding:
      return SitePart::kEmbedding;
    case ModuleSite::kQ:
      return SitePart::kQ;
    case ModuleSite::kK:
      return SitePart::kK;
    case ModuleSite::kV:
      return SitePart::kV;
    case ModuleSite::kQkv:
      return SitePart::kQkv;
    case ModuleSite::kO:
      return SitePart::kO;
    case ModuleSite::kGate:
      return SitePart::kGate;
    case ModuleSite::kUp:
      return SitePart::kUp;
    case ModuleSite::kDown:
      return SitePart::kDown;
  }
  return SitePart::kEmbedding;
}

}  // namespace

std::vector<ModuleFactors> FactorsOf(std::span<const ComponentModule> modules) {
  std::vector<ModuleFactors> factors;
  for (const ComponentModule& each : modules) {
    factors.push_back({.part = PartOf(each.module.site),
                       .layer = each.module.layer,
                       .name = each.module.name,
                       .v = each.v,
                       .u = each.u});
  }
  return factors;
}

}  // namespace spar::models
