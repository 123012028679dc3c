#include "models/decomposition/decomposition_tensors.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/status.h"

namespace spar::models {
namespace {

using Shape = std::vector<int64_t>;

class TensorCollector {
 public:
  void Add(const std::string& name, Shape shape) {
    tensors_[name] = std::move(shape);
  }

  void AddLinear(const std::string& name, int64_t out, int64_t in) {
    Add(name + ".weight", {out, in});
    Add(name + ".bias", {out});
  }

  void AddMlp(const std::string& prefix,
              int64_t in,
              const std::vector<int>& hidden,
              int64_t out) {
    for (size_t j = 0; j <= hidden.size(); ++j) {
      const int64_t wide = j < hidden.size() ? hidden[j] : out;
      AddLinear(base::Cat(prefix, ".layers.", j), wide, in);
      in = wide;
    }
  }

  // One MLP with one output for each of `members`.
  void AddParallelMlp(const std::string& prefix,
                      int64_t members,
                      int64_t in,
                      const std::vector<int>& hidden) {
    for (size_t j = 0; j <= hidden.size(); ++j) {
      const int64_t out = j < hidden.size() ? hidden[j] : 1;
      const std::string name = base::Cat(prefix, ".layers.", j);
      Add(name + ".weight", {members, out, in});
      Add(name + ".bias", {members, out});
      in = out;
    }
  }

  void AddRotaryAttention(const std::string& prefix, int64_t width) {
    for (const char* map : {"q", "k", "v", "o"}) {
      Add(base::Cat(prefix, ".", map, ".weight"), {width, width});
    }
  }

  std::map<std::string, Shape> Take() { return std::move(tensors_); }

 private:
  std::map<std::string, Shape> tensors_ = {};
};

void AddSequenceMlp(const DecomposedModule& module,
                    const CiSpec& ci,
                    const std::string& prefix,
                    TensorCollector& tensors) {
  const CiRelativeAttention& attention = *ci.relative_attention;
  const std::string head = prefix + ".attention";
  const int64_t distances = 2 * int64_t{attention.max_distance} + 1;
  tensors.Add(head + ".q.weight", {attention.key_width, module.d_in});
  tensors.Add(head + ".k.weight", {attention.key_width, module.d_in});
  tensors.Add(head + ".v.weight", {attention.value_width, module.d_in});
  tensors.Add(head + ".relative", attention.relative == RelativePositions::kBias
                                      ? Shape{distances}
                                      : Shape{distances, attention.key_width});
  tensors.AddParallelMlp(prefix, module.num_components,
                         int64_t{attention.value_width} + module.d_in,
                         ci.hidden);
}

void AddLayerwise(const DecomposedModule& module,
                  const CiSpec& ci,
                  TensorCollector& tensors) {
  const std::string prefix = "ci." + module.name;
  switch (ci.kind) {
    case CiKind::kMlp:
      tensors.AddParallelMlp(prefix, module.num_components, 1, ci.hidden);
      break;
    case CiKind::kVectorMlp:
      tensors.AddParallelMlp(prefix, module.num_components, module.d_in,
                             ci.hidden);
      break;
    case CiKind::kSharedMlp:
      tensors.AddMlp(prefix, module.d_in, ci.hidden, module.num_components);
      break;
    case CiKind::kSequenceMlp:
      AddSequenceMlp(module, ci, prefix, tensors);
      break;
    case CiKind::kGlobalSharedMlp:
    case CiKind::kGlobalSharedTransformer:
    case CiKind::kGlobalReverseResidual:
      break;
  }
}

void AddTransformer(const CiSpec& ci,
                    int64_t input_width,
                    int64_t num_components,
                    TensorCollector& tensors) {
  tensors.AddLinear("ci.input", ci.width, input_width);
  for (int i = 0; i < ci.num_blocks; ++i) {
    const std::string block = base::Cat("ci.blocks.", i);
    tensors.AddRotaryAttention(block + ".attention", ci.width);
    tensors.AddMlp(block + ".mlp", ci.width, ci.hidden, ci.width);
  }
  tensors.AddLinear("ci.output", num_components, ci.width);
}

void AddReverseResidual(const DecompositionSpec& spec,
                        TensorCollector& tensors) {
  const CiSpec& ci = spec.ci;
  std::vector<int> transition;
  if (ci.transition_hidden.has_value()) {
    transition.push_back(*ci.transition_hidden);
  }
  for (size_t i = 0; i < ci.groups.size(); ++i) {
    const std::string group = base::Cat("ci.groups.", i);
    int64_t input_width = 0, num_components = 0;
    for (const int m : ci.groups[i].modules) {
      input_width += GlobalInputWidth(spec.modules[m]);
      num_components += spec.modules[m].num_components;
    }
    tensors.AddLinear(group + ".input", ci.width, input_width);
    if (i + 1 < ci.groups.size()) {
      if (ci.attention.has_value()) {
        tensors.Add(group + ".attention_norm.weight", {ci.width});
        tensors.AddRotaryAttention(group + ".attention", ci.width);
      }
      tensors.Add(group + ".transition_norm.weight", {ci.width});
      tensors.AddMlp(group + ".transition", ci.width, transition, ci.width);
    }
    tensors.Add(group + ".reader_norm.weight", {ci.width});
    tensors.AddMlp(group + ".reader", ci.width, ci.hidden, num_components);
  }
}

}  // namespace

std::string VName(const DecomposedModule& module) {
  return base::Cat("components.", module.name, ".V");
}

std::string UName(const DecomposedModule& module) {
  return base::Cat("components.", module.name, ".U");
}

std::vector<int> ModulesByName(const DecompositionSpec& spec) {
  std::vector<int> order(spec.modules.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](int m) -> const std::string& {
    return spec.modules[m].name;
  });
  return order;
}

int64_t GlobalInputWidth(const DecomposedModule& module) {
  return module.site == ModuleSite::kEmbedding ? module.num_components
                                               : module.d_in;
}

std::map<std::string, Shape> DecompositionTensors(
    const DecompositionSpec& spec) {
  TensorCollector tensors;
  int64_t input_width = 0;
  for (const DecomposedModule& module : spec.modules) {
    tensors.Add(VName(module), {module.num_components, module.d_in});
    tensors.Add(UName(module), {module.num_components, module.d_out});
    AddLayerwise(module, spec.ci, tensors);
    input_width += GlobalInputWidth(module);
  }
  const int64_t all = spec.num_components();
  if (spec.ci.kind == CiKind::kGlobalSharedMlp) {
    tensors.AddMlp("ci", input_width, spec.ci.hidden, all);
  }
  if (spec.ci.kind == CiKind::kGlobalSharedTransformer) {
    AddTransformer(spec.ci, input_width, all, tensors);
  }
  if (spec.ci.kind == CiKind::kGlobalReverseResidual) {
    AddReverseResidual(spec, tensors);
  }
  return tensors.Take();
}

}  // namespace spar::models
