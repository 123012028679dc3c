#include "client/set_requests.h"

#include <algorithm>
#include <limits>
#include <string_view>

#include "base/status.h"

namespace spar::client {
namespace {

using Units = google::protobuf::RepeatedPtrField<v1::Unit>;

constexpr size_t kMaxNodes = 16'384;

template <typename... Pieces>
absl::Status Unfit(const Pieces&... pieces) {
  return absl::InvalidArgumentError(base::AbslView(base::Cat(pieces...)));
}

template <typename... Pieces>
absl::Status Unknown(const Pieces&... pieces) {
  return absl::NotFoundError(base::AbslView(base::Cat(pieces...)));
}

std::string_view NameOf(UnitSpace space) {
  switch (space) {
    case UnitSpace::kHeadsAndNeurons:
      return "heads and neurons";
    case UnitSpace::kSubcomponents:
      return "subcomponents";
    case UnitSpace::kNodes:
      return "nodes";
  }
  return "";
}

// K: the numbers that one position takes, a Delta after each module.
int64_t NumbersOf(const v1::Decomposition& decomposition) {
  int64_t numbers = 0;
  for (const v1::DecompositionModule& module : decomposition.modules()) {
    numbers += module.subcomponent_count() + 1;
  }
  return numbers;
}

absl::StatusOr<v1::Unit> HeadOrNeuron(int32_t id, const v1::Model& model) {
  const int32_t of_layer = model.head_count() + model.neuron_count();
  if (of_layer <= 0 || id / of_layer >= model.layer_count()) {
    return Unknown("the model has no unit ", id);
  }
  const int32_t rest = id % of_layer;
  const bool is_head = rest < model.head_count();
  v1::Unit unit;
  unit.set_id(id);
  unit.set_layer(id / of_layer);
  unit.set_kind(is_head ? "head" : "neuron");
  unit.set_index(is_head ? rest : rest - model.head_count());
  return unit;
}

absl::StatusOr<v1::Unit> PartOfModule(int32_t id,
                                      bool is_node,
                                      const v1::Decomposition& decomposition) {
  const int64_t numbers = NumbersOf(decomposition);
  if (numbers == 0 || (!is_node && id >= numbers)) {
    return Unknown("the decomposition has no unit ", id);
  }
  v1::Unit unit;
  unit.set_id(id);
  if (is_node) unit.set_position(static_cast<int32_t>(id / numbers));
  int64_t rest = id % numbers;
  for (const v1::DecompositionModule& module : decomposition.modules()) {
    if (rest > module.subcomponent_count()) {
      rest -= module.subcomponent_count() + 1;
      continue;
    }
    const bool is_delta = rest == module.subcomponent_count();
    unit.set_module(module.name());
    unit.set_layer(module.layer());
    unit.set_kind(is_delta ? "delta" : "subcomponent");
    unit.set_index(is_delta ? 0 : static_cast<int32_t>(rest));
    break;
  }
  return unit;
}

// Every unit by name, also of a set that tells its numbers alone.
absl::StatusOr<Units> NamedUnits(const SavedSet& set, const SetParts& parts) {
  if (!set.units.empty()) return set.units;
  Units units;
  units.Reserve(static_cast<int>(set.ids.size()));
  for (const int32_t id : set.ids) {
    ASSIGN_OR_RETURN(*units.Add(),
                     set.space == UnitSpace::kHeadsAndNeurons
                         ? HeadOrNeuron(id, parts.model)
                         : PartOfModule(id, set.space == UnitSpace::kNodes,
                                        parts.decomposition));
  }
  return units;
}

absl::StatusOr<v1::AttributionPart> PartOf(
    const v1::Unit& unit, const v1::Decomposition& decomposition) {
  if (unit.kind() == "head") return v1::ATTRIBUTION_PART_HEADS;
  if (unit.kind() == "neuron") return v1::ATTRIBUTION_PART_NEURONS;
  for (const v1::DecompositionModule& module : decomposition.modules()) {
    if (module.name() == unit.module()) return module.part();
  }
  return Unknown("the decomposition has no module ", unit.module());
}

// Of a pruned row's node, by its module's place in the numbering.
absl::StatusOr<int32_t> IdOf(const v1::Unit& unit,
                             const v1::Decomposition& decomposition) {
  int64_t id = unit.position() * NumbersOf(decomposition);
  for (const v1::DecompositionModule& module : decomposition.modules()) {
    if (module.name() != unit.module()) {
      id += module.subcomponent_count() + 1;
      continue;
    }
    id += unit.index();
    if (unit.index() >= module.subcomponent_count() ||
        id > std::numeric_limits<int32_t>::max()) {
      break;
    }
    return static_cast<int32_t>(id);
  }
  return Unknown("the decomposition has no node ", unit.module(), ":",
                 unit.index(), "@", unit.position());
}

}  // namespace

absl::Status CheckParts(const SavedSet& set, const SetParts& parts) {
  const auto differ = [](const std::string& told, const std::string& found) {
    return !told.empty() && !found.empty() && told != found;
  };
  if (differ(set.model_digest, parts.model.digest())) {
    return absl::FailedPreconditionError(base::AbslView(
        base::Cat("the set is of a model with digest ", set.model_digest, ", ",
                  parts.model.name(), " has ", parts.model.digest())));
  }
  if (set.space != UnitSpace::kHeadsAndNeurons &&
      differ(set.decomposition_digest, parts.decomposition.digest())) {
    return absl::FailedPreconditionError(base::AbslView(
        base::Cat("the set is of a decomposition with digest ",
                  set.decomposition_digest, ", ", parts.decomposition.name(),
                  " has ", parts.decomposition.digest())));
  }
  return absl::OkStatus();
}

v1::Prompt PromptOf(const SavedSet& set) {
  v1::Prompt prompt;
  prompt.mutable_tokens()->mutable_ids()->Assign(set.prompt.begin(),
                                                 set.prompt.end());
  return prompt;
}

absl::StatusOr<std::vector<v1::AttributionNodeRef>> NodeRefsOf(
    const SavedSet& set, const SetParts& parts) {
  ASSIGN_OR_RETURN(const Units units, NamedUnits(set, parts));
  std::vector<v1::AttributionNodeRef> nodes;
  for (const v1::Unit& unit : units) {
    if (unit.kind() == "delta") continue;
    ASSIGN_OR_RETURN(const v1::AttributionPart part,
                     PartOf(unit, parts.decomposition));
    if (part == v1::ATTRIBUTION_PART_EMBEDDING) continue;
    v1::AttributionNodeRef node;
    node.set_part(part);
    node.set_layer(unit.layer());
    node.set_index(unit.index());
    const auto add = [&](int32_t position) {
      node.set_position(position);
      nodes.push_back(node);
    };
    if (unit.has_position()) {
      add(unit.position());
    } else {
      std::for_each(set.positions.begin(), set.positions.end(), add);
    }
    if (nodes.size() > kMaxNodes) {
      return Unfit("the set's ", units.size(),
                   " units are more nodes than a graph may name: ", kMaxNodes);
    }
  }
  if (nodes.empty()) {
    return Unfit("the set's ", units.size(),
                 " units are Deltas or of the embedding: none is a node");
  }
  return nodes;
}

absl::StatusOr<std::vector<int32_t>> UnitIdsOf(const SavedSet& set,
                                               v1::UnitScheme scheme,
                                               const SetParts& parts) {
  if (SpaceOf(scheme) != set.space) {
    return Unfit("the set's units are ", NameOf(set.space),
                 ", and --units asks for ", NameOf(SpaceOf(scheme)));
  }
  ASSIGN_OR_RETURN(const Units units, NamedUnits(set, parts));
  const bool has_delta =
      std::any_of(units.begin(), units.end(),
                  [](const v1::Unit& unit) { return unit.kind() == "delta"; });
  if (has_delta && !HasDeltas(scheme)) {
    return Unfit("the set holds Deltas, which --units does not count");
  }
  if (!set.ids.empty()) return set.ids;
  std::vector<int32_t> ids;
  for (const v1::Unit& unit : units) {
    ASSIGN_OR_RETURN(const int32_t id, IdOf(unit, parts.decomposition));
    ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

v1::UnitScheme SchemeOf(const SavedSet& set) {
  if (set.scheme != v1::UNIT_SCHEME_UNSPECIFIED) return set.scheme;
  switch (set.space) {
    case UnitSpace::kHeadsAndNeurons:
      return v1::UNIT_SCHEME_HEAD_AND_NEURON;
    case UnitSpace::kSubcomponents:
      return v1::UNIT_SCHEME_SUBCOMPONENT_AND_DELTA;
    case UnitSpace::kNodes:
      return v1::UNIT_SCHEME_NODE_AND_DELTA;
  }
  return v1::UNIT_SCHEME_UNSPECIFIED;
}

}  // namespace spar::client
