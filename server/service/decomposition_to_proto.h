// L5. Decompositions to the wire.
#pragma once

#include "server/service/decomposition_from_proto.h"
#include "spar/v1/decomposition_service.pb.h"

namespace spar::service {

void ToProto(const ServedDecomposition& decomposition,
             const DecompositionPart& part,
             v1::Decomposition* to);

}  // namespace spar::service
