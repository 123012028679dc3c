// L5. Ablate requests to plain values; see from_proto.h.
#pragma once

#include "absl/status/statusor.h"

#include "models/ablation.h"
#include "models/decomposition_spec.h"
#include "server/service/model_registry.h"
#include "spar/v1/ablation_service.pb.h"

namespace spar::service {

// All of a request but its model and its decomposition's name, which
// `decomposition` (null for none) is of. kInvalidArgument with the field; what
// only the model can tell is left to models/ablation_check.h, whose fields have
// the same names.
absl::StatusOr<models::AblationRequest> AblationFromProto(
    const v1::AblateRequest& request,
    const models::DecompositionSpec* decomposition,
    const ServedModel& model);

}  // namespace spar::service
