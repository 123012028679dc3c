#include "models/decomposition/paper_shape.h"

#include <array>
#include <utility>

#include "models/decomposition/decomposable_modules.h"

namespace spar::models {

DecoderSpec PaperTarget() {
  DecoderSpec spec;
  spec.num_layers = 4;
  spec.width = 768;
  spec.num_heads = 6;
  spec.num_kv_heads = 6;
  spec.head_dim = 128;
  spec.mlp_width = 3072;
  spec.vocab_size = 50277;
  spec.context_length = 512;
  spec.norm = NormKind::kRmsNorm;
  spec.positions = PositionKind::kRotary;
  spec.rotary = {.dim = 128};
  spec.tied_embeddings = true;
  return spec;
}

std::map<ModuleSite, int> PaperComponents() {
  return {{ModuleSite::kQ, 512},   {ModuleSite::kK, 512},
          {ModuleSite::kV, 1024},  {ModuleSite::kO, 1024},
          {ModuleSite::kUp, 3072}, {ModuleSite::kDown, 3584}};
}

std::vector<DecomposedModule> PaperModules(const DecoderSpec& target) {
  const std::map<ModuleSite, int> counts = PaperComponents();
  std::vector<DecomposedModule> modules;
  for (DecomposedModule& module : DecomposableModules(target)) {
    const auto count = counts.find(module.site);
    if (count == counts.end()) continue;
    module.num_components = count->second;
    modules.push_back(std::move(module));
  }
  NumberComponents(modules);
  return modules;
}

double PaperAliveShare(int layer) {
  constexpr std::array<double, 4> kMeanAlive = {44.6, 18.9, 49.5, 92.0};
  constexpr double kComponentsPerLayer = 9728;
  return kMeanAlive[layer] / kComponentsPerLayer;
}

}  // namespace spar::models
