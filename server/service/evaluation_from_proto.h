// L5. What Evaluate is asked, as plain values; see from_proto.h.
#pragma once

#include "absl/status/statusor.h"

#include "models/evaluation.h"
#include "server/service/model_registry.h"
#include "spar/v1/evaluation.pb.h"

namespace spar::service {

// A request with its defaults filled in.
struct EvaluationQuestion {
  models::EvaluationRequest request = {};
  int row_length = 0;  // 0: each prompt is a row
};

// All of a request but its name, which `decomposition` is of. Errors as the
// service says.
absl::StatusOr<EvaluationQuestion> EvaluationFromProto(
    const v1::EvaluateRequest& request,
    const ServedDecomposition& decomposition);

}  // namespace spar::service
