#include "models/decomposition/decomposable_modules.h"

#include <string>
#include <string_view>
#include <utility>

namespace spar::models {
namespace {

std::string ModuleName(const std::string& tensor) {
  constexpr std::string_view kSuffix = ".weight";
  if (!tensor.ends_with(kSuffix)) return tensor;
  return tensor.substr(0, tensor.size() - kSuffix.size());
}

bool IsFused(const LayerSpec& layer) {
  return layer.q.weight.tensor == layer.k.weight.tensor &&
         layer.q.weight.tensor == layer.v.weight.tensor;
}

// The ref to all parts of a fused tensor.
WeightRef Whole(WeightRef ref) {
  ref.groups = 1;
  ref.parts = 1;
  ref.part = 0;
  return ref;
}

class ModuleCollector {
 public:
  void Add(ModuleSite site,
           int layer,
           const WeightRef& weight,
           int64_t d_out,
           int64_t d_in) {
    if (!weight.present()) return;
    DecomposedModule module;
    module.name = ModuleName(weight.tensor);
    module.site = site;
    module.layer = layer;
    module.d_in = static_cast<int>(d_in);
    module.d_out = static_cast<int>(d_out);
    modules_.push_back(std::move(module));
  }

  std::vector<DecomposedModule> Take() { return std::move(modules_); }

 private:
  std::vector<DecomposedModule> modules_ = {};
};

}  // namespace

std::vector<DecomposedModule> DecomposableModules(const DecoderSpec& spec) {
  const int64_t width = spec.width;
  const int64_t q_width = int64_t{spec.num_heads} * spec.head_dim;
  const int64_t kv_width = int64_t{spec.num_kv_heads} * spec.head_dim;
  ModuleCollector modules;
  modules.Add(ModuleSite::kEmbedding, -1, spec.token_embedding, width,
              spec.vocab_size);
  for (int l = 0; l < static_cast<int>(spec.layers.size()); ++l) {
    const LayerSpec& layer = spec.layers[l];
    if (IsFused(layer)) {
      modules.Add(ModuleSite::kQkv, l, layer.q.weight, q_width + 2 * kv_width,
                  width);
    } else {
      modules.Add(ModuleSite::kQ, l, layer.q.weight, q_width, width);
      modules.Add(ModuleSite::kK, l, layer.k.weight, kv_width, width);
      modules.Add(ModuleSite::kV, l, layer.v.weight, kv_width, width);
    }
    modules.Add(ModuleSite::kO, l, layer.o.weight, width, q_width);
    modules.Add(ModuleSite::kGate, l, layer.gate.weight, spec.mlp_width, width);
    modules.Add(ModuleSite::kUp, l, layer.up.weight, spec.mlp_width, width);
    modules.Add(ModuleSite::kDown, l, layer.down.weight, width, spec.mlp_width);
  }
  return modules.Take();
}

Affine WholeWeight(const DecoderSpec& spec, const DecomposedModule& module) {
  if (module.site == ModuleSite::kEmbedding) {
    Affine embedding;
    embedding.weight = spec.token_embedding;
    embedding.weight.transposed = !embedding.weight.transposed;
    return embedding;
  }
  const LayerSpec& layer = spec.layers[module.layer];
  switch (module.site) {
    case ModuleSite::kK:
      return layer.k;
    case ModuleSite::kV:
      return layer.v;
    case ModuleSite::kQkv:
      return {.weight = Whole(layer.q.weight), .bias = Whole(layer.q.bias)};
    case ModuleSite::kO:
      return layer.o;
    case ModuleSite::kGate:
      return layer.gate;
    case ModuleSite::kUp:
      return layer.up;
    case ModuleSite::kDown:
      return layer.down;
    case ModuleSite::kEmbedding:
    case ModuleSite::kQ:
      break;
  }
  return layer.q;
}

void NumberComponents(std::vector<DecomposedModule>& modules) {
  int64_t next = 0;
  for (DecomposedModule& module : modules) {
    module.first_component = next;
    next += module.num_components;
  }
}

}  // namespace spar::models
