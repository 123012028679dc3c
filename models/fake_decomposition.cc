#include "models/fake_decomposition.h"

#include <algorithm>
#include <cmath>

#include "base/splitmix64.h"
#include "base/status.h"
#include "models/digest.h"

namespace spar::models {

FakeDecomposition::FakeDecomposition(const std::string& name,
                                     const std::string& weights_digest,
                                     int num_layers,
                                     int width,
                                     int num_neurons,
                                     int num_components,
                                     uint64_t seed)
    : seed_(seed) {
  info_.name = name;
  info_.digest = Sha256Hex(base::Cat("fake decomposition ", seed, " ",
                                     num_components, " ", weights_digest));
  info_.dtype = "float32";
  info_.memory_bytes =
      int64_t{4} * num_layers * num_components * (width + num_neurons);
  info_.identity_error = 1e-7;
  DecompositionSpec& spec = info_.spec;
  spec.target_weights_digest = weights_digest;
  spec.ci.hidden = {1};
  for (int layer = 0; layer < num_layers; ++layer) {
    DecomposedModule module;
    module.name = base::Cat("fake.", layer, ".mlp.up");
    module.site = ModuleSite::kUp;
    module.layer = layer;
    module.d_in = width;
    module.d_out = num_neurons;
    module.num_components = num_components;
    module.first_component = int64_t{layer} * num_components;
    spec.modules.push_back(module);
    ModuleMeasures measures;
    measures.weight_norm = std::sqrt(double{1} * num_components);
    measures.component_norms.assign(num_components, 1.0f);
    info_.modules.push_back(measures);
  }
}

float FakeDecomposition::Activation(int layer,
                                    int component,
                                    TokenId token) const {
  uint64_t key = base::SplitMix64(seed_ + static_cast<uint64_t>(layer));
  key = base::SplitMix64(key ^ static_cast<uint64_t>(component));
  key = base::SplitMix64(key ^ static_cast<uint64_t>(token));
  return static_cast<float>(static_cast<double>(key >> 11) * 0x1.0p-52 - 1.0);
}

PromptImportances FakeDecomposition::Run(
    std::span<const TokenId> tokens, const ImportanceOptions& options) const {
  PromptImportances result;
  for (const DecomposedModule& module : info_.spec.modules) {
    ModuleImportances kept;
    for (const TokenId token : tokens) {
      for (int c = 0; c < module.num_components; ++c) {
        const float activation = Activation(module.layer, c, token);
        const float importance = std::max(activation, 0.0f);
        if (!(importance > options.threshold)) continue;
        kept.component.push_back(c);
        kept.importance.push_back(importance);
        kept.activation.push_back(activation);
      }
      kept.begin.push_back(static_cast<int64_t>(kept.component.size()));
    }
    result.modules.push_back(std::move(kept));
  }
  return result;
}

}  // namespace spar::models
