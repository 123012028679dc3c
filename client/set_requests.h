// L5. A saved set in the words of a further request.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "client/saved_set.h"

#include "spar/v1/attribution.pb.h"
#include "spar/v1/decomposition_service.pb.h"
#include "spar/v1/explanation_service.pb.h"
#include "spar/v1/model_service.pb.h"

namespace spar::client {

// What a set's units are parts of.
struct SetParts {
  v1::Model model = {};
  v1::Decomposition decomposition =
      {};  // with modules; of heads and neurons: none
};

// kFailedPrecondition when the set is of another model or decomposition, as far
// as it tells. What follows wants a set that has passed.
absl::Status CheckParts(const SavedSet& set, const SetParts& parts);

// The set's prompt up to its readout.
v1::Prompt PromptOf(const SavedSet& set);

// The set as nodes of a graph: units of all positions at each of T. Deltas and
// subcomponents of the embedding are not among them: every graph has those as
// vectors. kInvalidArgument beyond 16,384 nodes and where none are left;
// kNotFound for a module or number that the parts do not have.
absl::StatusOr<std::vector<v1::AttributionNodeRef>> NodeRefsOf(
    const SavedSet& set, const SetParts& parts);

// Numbers of the units, ascending, for CrystallizeOptions.initial_unit_ids.
// kInvalidArgument when `scheme` is of another space than the set, or has no
// Delta and the set does; kNotFound as above.
absl::StatusOr<std::vector<int32_t>> UnitIdsOf(const SavedSet& set,
                                               v1::UnitScheme scheme,
                                               const SetParts& parts);

// The scheme to search in where the user named none: the set's own, else the
// widest of its space that it needs.
v1::UnitScheme SchemeOf(const SavedSet& set);

}  // namespace spar::client
