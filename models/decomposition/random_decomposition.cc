#include "models/decomposition/random_decomposition.h"

#include <cmath>
#include <span>
#include <string>
#include <utility>

#include "base/splitmix64.h"
#include "base/status.h"
#include "models/decomposition/decomposable_modules.h"
#include "models/decomposition/decomposition_tensors.h"
#include "models/decomposition/decomposition_writer.h"
#include "models/digest.h"

namespace spar::models {
namespace {

// Where the numbers of a tensor lie: uniform in center +- spread.
struct Range {
  double center = 0;
  double spread = 0;
};

// The bias of the last map before the logits.
bool IsLogitBias(const std::string& name, const DecompositionSpec& spec) {
  if (name == "ci.output.bias") return true;
  if (name.find(".transition.") != name.npos ||
      name.starts_with("ci.blocks.")) {
    return false;
  }
  return name.starts_with("ci.") &&
         name.ends_with(base::Cat(".layers.", spec.ci.hidden.size(), ".bias"));
}

Range RangeOf(const std::string& name,
              const std::vector<int64_t>& shape,
              const DecompositionSpec& spec,
              double logit_center) {
  if (IsLogitBias(name, spec)) return {.center = logit_center, .spread = 0.3};
  if (name.ends_with("norm.weight")) return {.center = 1, .spread = 0.2};
  if (name.ends_with(".bias") || name.ends_with(".relative")) {
    return {.center = 0, .spread = 0.3};
  }
  // Uniform numbers of variance 1 / (number of terms of a sum).
  double terms = static_cast<double>(shape.back());
  if (name.ends_with(".U")) terms = static_cast<double>(shape.front());
  return {.center = 0, .spread = std::sqrt(3.0 / terms)};
}

class RandomDecomposition final : public Decomposition {
 public:
  RandomDecomposition(DecompositionSpec spec,
                      const RandomDecompositionOptions& options)
      : spec_(std::move(spec)) {
    const std::map<std::string, std::vector<int64_t>> shapes =
        DecompositionTensors(spec_);
    uint64_t stream = base::SplitMix64(options.seed);
    for (const auto& [name, shape] : shapes) {
      const Range range = RangeOf(name, shape, spec_, options.logit_center);
      Fill(name, shape, OneHotInput(name) ? Range{.spread = 1.7} : range,
           base::SplitMix64(stream++));
    }
    weights_digest_ =
        Sha256Hex(base::Cat("random ", options.seed, " ", options.logit_center,
                            " ", spec_.num_components()));
    digest_ = Sha256Hex(weights_digest_);
  }

  const std::filesystem::path& folder() const override { return folder_; }
  const DecompositionSpec& spec() const override { return spec_; }
  const TensorView& Tensor(std::string_view name) const override {
    const auto found = views_.find(name);
    INVARIANT(found != views_.end());
    return found->second;
  }
  const std::string& weights_digest() const override { return weights_digest_; }
  const std::string& digest() const override { return digest_; }

 private:
  // V of the embedding: one number of a row is read at a time.
  bool OneHotInput(const std::string& name) const {
    return spec_.modules[0].site == ModuleSite::kEmbedding &&
           name == VName(spec_.modules[0]);
  }

  void Fill(const std::string& name,
            const std::vector<int64_t>& shape,
            Range range,
            uint64_t stream) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    std::vector<float>& values = values_[name];
    values.resize(static_cast<size_t>(count));
    for (float& value : values) {
      const uint64_t bits = base::SplitMix64(stream++);
      const double noise = static_cast<double>(bits >> 40) / (1 << 23) - 1.0;
      value = static_cast<float>(range.center + range.spread * noise);
    }
    views_[name] = {.dtype = Dtype::kFloat32,
                    .shape = shape,
                    .bytes = std::as_bytes(std::span<const float>(values))};
  }

  const DecompositionSpec spec_;
  std::map<std::string, std::vector<float>> values_ = {};
  std::map<std::string, TensorView, std::less<>> views_ = {};
  const std::filesystem::path folder_ = {};
  std::string weights_digest_ = {};
  std::string digest_ = {};
};

// One group for each layer, the last first; the embedding alone at the end.
std::vector<CiGroup> GroupsByLayer(
    const std::vector<DecomposedModule>& modules) {
  std::map<int, CiGroup, std::greater<>> by_layer;
  for (size_t m = 0; m < modules.size(); ++m) {
    CiGroup& group = by_layer[modules[m].layer];
    group.name = base::Cat("layer ", modules[m].layer);
    group.modules.push_back(static_cast<int>(m));
  }
  std::vector<CiGroup> groups;
  for (auto& [layer, group] : by_layer) groups.push_back(std::move(group));
  return groups;
}

}  // namespace

DecompositionSpec RandomDecompositionSpec(
    const Snapshot& target,
    const std::map<ModuleSite, int>& components,
    CiSpec ci) {
  DecompositionSpec spec;
  spec.target_weights_digest = target.weights_digest();
  for (DecomposedModule& module : DecomposableModules(target.spec())) {
    const auto found = components.find(module.site);
    if (found == components.end()) continue;
    module.num_components = found->second;
    spec.modules.push_back(std::move(module));
  }
  NumberComponents(spec.modules);
  spec.ci = std::move(ci);
  if (spec.ci.kind == CiKind::kGlobalReverseResidual &&
      spec.ci.groups.empty()) {
    spec.ci.groups = GroupsByLayer(spec.modules);
  }
  return spec;
}

std::shared_ptr<const Decomposition> MakeRandomDecomposition(
    DecompositionSpec spec, const RandomDecompositionOptions& options) {
  return std::make_shared<RandomDecomposition>(std::move(spec), options);
}

absl::Status WriteDecompositionFolder(const std::filesystem::path& folder,
                                      const Decomposition& decomposition) {
  std::vector<NamedTensor> tensors;
  const std::map<std::string, std::vector<int64_t>> shapes =
      DecompositionTensors(decomposition.spec());
  for (const auto& [name, shape] : shapes) {
    const TensorView& view = decomposition.Tensor(name);
    INVARIANT(view.dtype == Dtype::kFloat32);
    NamedTensor tensor;
    tensor.name = name;
    tensor.shape = shape;
    tensor.values = {reinterpret_cast<const float*>(view.bytes.data()),
                     view.bytes.size() / sizeof(float)};
    tensors.push_back(std::move(tensor));
  }
  return WriteDecomposition(folder, decomposition.spec(), std::move(tensors));
}

}  // namespace spar::models
