#include "models/unit_table.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

#include "base/status.h"
#include "models/decomposition_spec.h"

namespace spar::models {
namespace {

constexpr std::pair<UnitScheme, std::string_view> kSchemeNames[] = {
    {UnitScheme::kHead, "head"},
    {UnitScheme::kNeuron, "neuron"},
    {UnitScheme::kHeadAndNeuron, "head+neuron"},
    {UnitScheme::kSubcomponent, "subcomponent"},
    {UnitScheme::kSubcomponentAndDelta, "subcomponent+delta"},
    {UnitScheme::kNode, "node"},
    {UnitScheme::kNodeAndDelta, "node+delta"},
};

bool Holds(UnitScheme scheme, UnitKind kind) {
  switch (scheme) {
    case UnitScheme::kHead:
      return kind == UnitKind::kHead;
    case UnitScheme::kNeuron:
      return kind == UnitKind::kNeuron;
    case UnitScheme::kSubcomponent:
    case UnitScheme::kNode:
      return kind == UnitKind::kSubcomponent;
    case UnitScheme::kHeadAndNeuron:
    case UnitScheme::kSubcomponentAndDelta:
    case UnitScheme::kNodeAndDelta:
      return true;
  }
  return false;
}

// A number as Name writes it.
std::optional<int> ParseIndex(std::string_view digits) {
  int index = -1;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), index);
  const bool plain = digits == "0" || !digits.starts_with('0');
  if (error != std::errc() || end != digits.data() + digits.size() ||
      index < 0 || !plain) {
    return std::nullopt;
  }
  return index;
}

}  // namespace

UnitSpace SpaceOf(UnitScheme scheme) {
  switch (scheme) {
    case UnitScheme::kHead:
    case UnitScheme::kNeuron:
    case UnitScheme::kHeadAndNeuron:
      return UnitSpace::kHeadsAndNeurons;
    case UnitScheme::kSubcomponent:
    case UnitScheme::kSubcomponentAndDelta:
      return UnitSpace::kSubcomponents;
    case UnitScheme::kNode:
    case UnitScheme::kNodeAndDelta:
      return UnitSpace::kNodes;
  }
  return UnitSpace::kHeadsAndNeurons;
}

UnitTable::UnitTable(std::vector<LayerUnits> layers)
    : layers_(std::move(layers)) {
  for (const LayerUnits& layer : layers_) {
    first_.push_back(per_position_);
    per_position_ += layer.num_heads + layer.num_neurons;
  }
  num_units_ = per_position_;
}

UnitTable::UnitTable(std::vector<ModuleUnits> modules, int num_positions)
    : modules_(std::move(modules)), num_positions_(num_positions) {
  int64_t per_position = 0;
  for (const ModuleUnits& module : modules_) {
    first_.push_back(static_cast<int>(per_position));
    per_position += module.num_components + 1;
  }
  const int64_t num_units = per_position * std::max(1, num_positions);
  INVARIANT(num_units <= std::numeric_limits<int32_t>::max());
  per_position_ = static_cast<int>(per_position);
  num_units_ = static_cast<int>(num_units);
}

UnitSpace UnitTable::space() const {
  if (modules_.empty()) return UnitSpace::kHeadsAndNeurons;
  return num_positions_ > 0 ? UnitSpace::kNodes : UnitSpace::kSubcomponents;
}

UnitId UnitTable::Id(const Unit& unit) const {
  switch (unit.kind) {
    case UnitKind::kHead:
      return first_[unit.layer] + unit.index;
    case UnitKind::kNeuron:
      return first_[unit.layer] + layers_[unit.layer].num_heads + unit.index;
    case UnitKind::kSubcomponent:
    case UnitKind::kDelta:
      break;
  }
  const int offset = unit.kind == UnitKind::kDelta
                         ? modules_[unit.module].num_components
                         : unit.index;
  return std::max(0, unit.position) * per_position_ + first_[unit.module] +
         offset;
}

Unit UnitTable::At(UnitId id) const {
  INVARIANT(id >= 0 && id < num_units_);
  const int within = id % per_position_;
  const auto next = std::upper_bound(first_.begin(), first_.end(), within);
  const int group = static_cast<int>(next - first_.begin()) - 1;
  const int offset = within - first_[group];
  if (modules_.empty()) {
    const int heads = layers_[group].num_heads;
    if (offset < heads) {
      return {.kind = UnitKind::kHead, .layer = group, .index = offset};
    }
    return {.kind = UnitKind::kNeuron, .layer = group, .index = offset - heads};
  }
  const ModuleUnits& module = modules_[group];
  const bool delta = offset == module.num_components;
  return {.kind = delta ? UnitKind::kDelta : UnitKind::kSubcomponent,
          .layer = module.layer,
          .index = delta ? 0 : offset,
          .module = group,
          .position = num_positions_ > 0 ? id / per_position_ : -1};
}

bool UnitTable::Contains(UnitScheme scheme, UnitId id) const {
  return SpaceOf(scheme) == space() && Holds(scheme, At(id).kind);
}

std::string UnitTable::Name(UnitId id) const {
  const Unit unit = At(id);
  switch (unit.kind) {
    case UnitKind::kHead:
      return base::Cat(layers_[unit.layer].attention_module,
                       "#head=", unit.index);
    case UnitKind::kNeuron:
      return base::Cat(layers_[unit.layer].mlp_module, "#neuron=", unit.index);
    case UnitKind::kSubcomponent:
    case UnitKind::kDelta:
      break;
  }
  std::string name = modules_[unit.module].name;
  if (unit.kind == UnitKind::kDelta) {
    name += "#delta";
  } else {
    name += base::Cat("#subcomponent=", unit.index);
  }
  if (unit.position >= 0) name += base::Cat("@", unit.position);
  return name;
}

absl::StatusOr<UnitId> UnitTable::Parse(std::string_view name) const {
  const auto unknown = [&] {
    return base::InvalidArgument("UNKNOWN_UNIT", "",
                                 base::Cat("no unit is named '", name, "'"),
                                 {{"unit", std::string(name)}});
  };
  const size_t hash = name.rfind('#');
  if (hash == name.npos) return unknown();
  const std::string_view module = name.substr(0, hash);
  std::string_view kind = name.substr(hash + 1);
  Unit unit;
  if (const size_t at = kind.rfind('@'); at != kind.npos) {
    const std::optional<int> position = ParseIndex(kind.substr(at + 1));
    if (!position.has_value() || *position >= num_positions_) return unknown();
    unit.position = *position;
    kind = kind.substr(0, at);
  } else if (num_positions_ > 0) {
    return unknown();
  }
  const bool delta = kind == "delta";
  if (!delta) {
    const size_t equals = kind.find('=');
    if (equals == kind.npos) return unknown();
    const std::optional<int> index = ParseIndex(kind.substr(equals + 1));
    if (!index.has_value()) return unknown();
    unit.index = *index;
    kind = kind.substr(0, equals);
  }
  for (unit.layer = 0; unit.layer < num_layers(); ++unit.layer) {
    const LayerUnits& layer = layers_[unit.layer];
    unit.kind = kind == "head" ? UnitKind::kHead : UnitKind::kNeuron;
    if (kind == "head" && module == layer.attention_module &&
        unit.index < layer.num_heads) {
      return Id(unit);
    }
    if (kind == "neuron" && module == layer.mlp_module &&
        unit.index < layer.num_neurons) {
      return Id(unit);
    }
  }
  for (unit.module = 0; unit.module < num_modules(); ++unit.module) {
    if (module != modules_[unit.module].name) continue;
    unit.kind = delta ? UnitKind::kDelta : UnitKind::kSubcomponent;
    const bool fits = kind == "subcomponent" &&
                      unit.index < modules_[unit.module].num_components;
    if (delta || fits) return Id(unit);
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

int UnitTable::CountMembers(UnitScheme scheme) const {
  if (SpaceOf(scheme) != space()) return 0;
  int count = 0;
  for (const LayerUnits& layer : layers_) {
    if (Holds(scheme, UnitKind::kHead)) count += layer.num_heads;
    if (Holds(scheme, UnitKind::kNeuron)) count += layer.num_neurons;
  }
  for (const ModuleUnits& module : modules_) {
    count += module.num_components + (Holds(scheme, UnitKind::kDelta) ? 1 : 0);
  }
  return count * std::max(1, num_positions_);
}

int64_t UnitTable::Parameters(UnitId id) const {
  const Unit unit = At(id);
  switch (unit.kind) {
    case UnitKind::kHead:
      return layers_[unit.layer].parameters_per_head;
    case UnitKind::kNeuron:
      return layers_[unit.layer].parameters_per_neuron;
    case UnitKind::kSubcomponent:
      return modules_[unit.module].parameters_per_component;
    case UnitKind::kDelta:
      return modules_[unit.module].parameters_of_delta;
  }
  return 0;
}

UnitTable MakeUnitTable(const DecompositionSpec& spec,
                        UnitSpace space,
                        int num_tokens) {
  std::vector<ModuleUnits> modules;
  for (const DecomposedModule& module : spec.modules) {
    modules.push_back(
        {.name = module.name,
         .layer = module.layer,
         .num_components = module.num_components,
         .parameters_per_component = int64_t{module.d_in} + module.d_out,
         .parameters_of_delta = int64_t{module.d_in} * module.d_out});
  }
  return UnitTable(std::move(modules),
                   space == UnitSpace::kNodes ? num_tokens : 0);
}

int64_t CountUnits(const DecompositionSpec& spec,
                   UnitSpace space,
                   int num_tokens) {
  const int64_t one =
      spec.num_components() + static_cast<int64_t>(spec.modules.size());
  return space == UnitSpace::kNodes ? one * num_tokens : one;
}

std::string_view UnitKindName(UnitKind kind) {
  switch (kind) {
    case UnitKind::kHead:
      return "head";
    case UnitKind::kNeuron:
      return "neuron";
    case UnitKind::kSubcomponent:
      return "subcomponent";
    case UnitKind::kDelta:
      return "delta";
  }
  return "";
}

std::string_view UnitSchemeName(UnitScheme scheme) {
  for (const auto& [value, name] : kSchemeNames) {
    if (value == scheme) return name;
  }
  return "";
}

absl::StatusOr<UnitScheme> ParseUnitScheme(std::string_view name) {
  std::string known_names;
  for (const auto& [value, known] : kSchemeNames) {
    if (known == name) return value;
    known_names += base::Cat(known_names.empty() ? "" : ", ", known);
  }
  return base::InvalidArgument(
      "UNKNOWN_UNIT_SCHEME", "unit_scheme",
      base::Cat("unit scheme '", name, "': want one of ", known_names),
      {{"unit_scheme", std::string(name)}});
}

}  // namespace spar::models
