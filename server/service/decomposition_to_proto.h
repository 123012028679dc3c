// L5. Decompositions to the wire.
#pragma once

#include "models/decomposition_spec.h"
#include "server/service/decomposition_from_proto.h"
#include "spar/v1/attribution.pb.h"
#include "spar/v1/decomposition_service.pb.h"

namespace spar::service {

v1::AttributionPart ToProto(models::ModuleSite site);

void ToProto(const ServedDecomposition& decomposition,
             const DecompositionPart& part,
             v1::Decomposition* to);

}  // namespace spar::service
