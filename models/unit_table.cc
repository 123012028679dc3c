#include "models/unit_table.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/status.h"

namespace spar::models {
namespace {

constexpr std::pair<UnitScheme, std::string_view> kSchemeNames[] = {
    {UnitScheme::kHead, "head"},
    {UnitScheme::kNeuron, "neuron"},
    {UnitScheme::kHeadAndNeuron, "head+neuron"},
};

}  // namespace

UnitTable::UnitTable(std::vector<LayerUnits> layers)
    : layers_(std::move(layers)) {
  for (const LayerUnits& layer : layers_) {
    first_.push_back(num_units_);
    num_units_ += layer.num_heads + layer.num_neurons;
  }
}

UnitId UnitTable::Id(const Unit& unit) const {
  const int offset =
      unit.kind == UnitKind::kHead ? 0 : layers_[unit.layer].num_heads;
  return first_[unit.layer] + offset + unit.index;
}

Unit UnitTable::At(UnitId id) const {
  INVARIANT(id >= 0 && id < num_units_);
  const auto next = std::upper_bound(first_.begin(), first_.end(), id);
  const int layer = static_cast<int>(next - first_.begin()) - 1;
  const int offset = id - first_[layer];
  const int heads = layers_[layer].num_heads;
  if (offset < heads) {
    return {.kind = UnitKind::kHead, .layer = layer, .index = offset};
  }
  return {.kind = UnitKind::kNeuron, .layer = layer, .index = offset - heads};
}

bool UnitTable::Contains(UnitScheme scheme, UnitId id) const {
  if (scheme == UnitScheme::kHeadAndNeuron) return true;
  return (At(id).kind == UnitKind::kHead) == (scheme == UnitScheme::kHead);
}

std::string UnitTable::Name(UnitId id) const {
  const Unit unit = At(id);
  const LayerUnits& layer = layers_[unit.layer];
  return unit.kind == UnitKind::kHead
             ? base::Cat(layer.attention_module, "#head=", unit.index)
             : base::Cat(layer.mlp_module, "#neuron=", unit.index);
}

absl::StatusOr<UnitId> UnitTable::Parse(std::string_view name) const {
  const auto unknown = [&] {
    return base::InvalidArgument("UNKNOWN_UNIT", "",
                                 base::Cat("no unit is named '", name, "'"),
                                 {{"unit", std::string(name)}});
  };
  const size_t hash = name.rfind('#');
  const size_t equals = name.rfind('=');
  if (hash == name.npos || equals == name.npos || equals < hash) {
    return unknown();
  }
  const std::string_view module = name.substr(0, hash);
  const std::string_view kind = name.substr(hash + 1, equals - hash - 1);
  const std::string_view digits = name.substr(equals + 1);
  int index = -1;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), index);
  const bool plain = digits == "0" || !digits.starts_with('0');
  if (error != std::errc() || end != digits.data() + digits.size() ||
      index < 0 || !plain) {
    return unknown();
  }
  for (int l = 0; l < num_layers(); ++l) {
    const LayerUnits& layer = layers_[l];
    if (kind == "head" && module == layer.attention_module &&
        index < layer.num_heads) {
      return Id({.kind = UnitKind::kHead, .layer = l, .index = index});
    }
    if (kind == "neuron" && module == layer.mlp_module &&
        index < layer.num_neurons) {
      return Id({.kind = UnitKind::kNeuron, .layer = l, .index = index});
    }
  }
  return unknown();
}

std::vector<UnitId> UnitTable::Members(UnitScheme scheme) const {
  std::vector<UnitId> ids;
  for (UnitId id = 0; id < num_units_; ++id) {
    if (Contains(scheme, id)) ids.push_back(id);
  }
  return ids;
}

int64_t UnitTable::Parameters(UnitId id) const {
  const Unit unit = At(id);
  const LayerUnits& layer = layers_[unit.layer];
  return unit.kind == UnitKind::kHead ? layer.parameters_per_head
                                      : layer.parameters_per_neuron;
}

std::string_view UnitSchemeName(UnitScheme scheme) {
  for (const auto& [value, name] : kSchemeNames) {
    if (value == scheme) return name;
  }
  return "";
}

absl::StatusOr<UnitScheme> ParseUnitScheme(std::string_view name) {
  for (const auto& [value, known] : kSchemeNames) {
    if (known == name) return value;
  }
  return base::InvalidArgument(
      "UNKNOWN_UNIT_SCHEME", "unit_scheme",
      base::Cat("unit scheme '", name, "': want head, neuron or head+neuron"),
      {{"unit_scheme", std::string(name)}});
}

}  // namespace spar::models
