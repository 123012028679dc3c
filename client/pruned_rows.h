// L5. Rows of a pruning: which one to look at, and its nodes as units.
#pragma once

#include "spar/v1/explanation_service.pb.h"
#include "spar/v1/pruning_service.pb.h"

namespace spar::client {

// The place in `curve.points` of the smallest set on the frontier that still
// says the target (its margin is above 0); where none does, of the largest
// margin. `curve` has points.
int ChosenPoint(const v1::PruneCurve& curve);

// `nodes`, of sites of `header`, as units without number or name, ascending by
// position, then by site, then by subcomponent.
google::protobuf::RepeatedPtrField<v1::Unit> UnitsOf(
    const v1::PruneHeader& header, const v1::PrunedNodes& nodes);

}  // namespace spar::client
