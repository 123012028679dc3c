// L1. The parts of a model that an ablation changes, by name:
//   MODULE#subcomponent=5   of a decomposed module, as DecomposedModule names
//   it MODULE#delta            its Delta MODULE#head=2           as UnitTable
//   names units MODULE#neuron=31
// In place of a number several: 0-9, or * for all.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "models/ablation.h"
#include "models/decomposition_spec.h"
#include "models/unit_table.h"

namespace spar::models {

// Ascending interventions of kind, site and index alone. `decomposition` may be
// null. kInvalidArgument UNKNOWN_PART with `field` when nothing is so named.
absl::StatusOr<std::vector<Intervention>> ParseParts(
    const UnitTable& units,
    const DecompositionSpec* decomposition,
    std::string_view name,
    std::string_view field);

// The name of one; the intervention fits both.
std::string PartName(const UnitTable& units,
                     const DecompositionSpec* decomposition,
                     const Intervention& intervention);

}  // namespace spar::models
