#include "models/fake_decomposition.h"

#include <algorithm>
#include <cmath>

#include "base/splitmix64.h"
#include "base/status.h"
#include "models/digest.h"

namespace spar::models {
namespace {

constexpr double kEffect = 0.8;  // of a subcomponent on the stream

}  // namespace

FakeDecomposition::FakeDecomposition(
    const std::string& name,
    const std::string& weights_digest,
    int num_layers,
    int width,
    int num_neurons,
    int num_components,
    uint64_t seed,
    std::span<const std::vector<TokenId>> reference_prompts)
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

  FakeRandom random(seed);
  for (int layer = 0; layer < num_layers; ++layer) {
    std::vector<FakeVector>& directions = directions_.emplace_back();
    std::vector<double>& means = means_.emplace_back();
    for (int c = 0; c <= num_components; ++c) {
      directions.push_back(random.SymmetricVector(kEffect));
      double sum = 0;
      int64_t count = 0;
      for (const std::vector<TokenId>& tokens : reference_prompts) {
        for (const TokenId token : tokens) sum += Activation(layer, c, token);
        count += static_cast<int64_t>(tokens.size());
      }
      means.push_back(count == 0 ? 0 : sum / static_cast<double>(count));
    }
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

template <typename Visit>
void FakeDecomposition::ForEach(const Prompt& prompt,
                                const IndexSet& positions,
                                const Visit& visit) const {
  const bool mean = prompt.reference == ReferenceKind::kMean;
  const int per_position =
      static_cast<int>(directions_.size()) * (num_components() + 1);
  const std::vector<int32_t> kept = positions.Members();
  const std::vector<int> distances = FakeDistances(prompt, kept);
  for (size_t i = 0; i < kept.size(); ++i) {
    int id = prompt.space == UnitSpace::kNodes ? kept[i] * per_position : 0;
    for (size_t layer = 0; layer < directions_.size(); ++layer) {
      for (int c = 0; c <= num_components(); ++c) {
        const double own =
            Activation(static_cast<int>(layer), c, prompt.tokens[kept[i]]);
        const double reference = mean ? means_[layer][c] : 0.0;
        visit(id++, layer, c, (own - reference) / (1.0 + distances[i]));
      }
    }
  }
}

std::vector<FakeVector> FakeDecomposition::Shifts(
    const Prompt& prompt,
    const IndexSet& positions,
    std::span<const float> masks) const {
  std::vector<FakeVector> shifts(directions_.size(), FakeVector{});
  ForEach(prompt, positions, [&](int id, size_t layer, int c, double effect) {
    AddScaled(directions_[layer][c], (masks[id] - 1.0) * effect, shifts[layer]);
  });
  return shifts;
}

std::vector<float> FakeDecomposition::Gradient(
    const Prompt& prompt,
    const IndexSet& positions,
    const std::vector<FakeVector>& of_shifts) const {
  const int num_units = static_cast<int>(CountUnits(
      info_.spec, prompt.space, static_cast<int>(prompt.tokens.size())));
  std::vector<double> sums(num_units, 0.0);
  ForEach(prompt, positions, [&](int id, size_t layer, int c, double effect) {
    sums[id] += effect * Dot(directions_[layer][c], of_shifts[layer]);
  });
  return std::vector<float>(sums.begin(), sums.end());
}

}  // namespace spar::models
