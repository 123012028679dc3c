// L5. Attribute requests to plain values: everything a client sent is checked.
#pragma once

#include "absl/status/statusor.h"

#include "server/search/attribution.h"
#include "server/service/model_registry.h"
#include "spar/v1/attribution.pb.h"

namespace spar::service {

// kInvalidArgument, with the field: TokensFromProto's errors;
// OPTION_OUT_OF_RANGE, TOKEN_OUT_OF_RANGE, NOT_ONE_TOKEN, TOO_MANY_NODES.
absl::StatusOr<search::AttributionQuestion> AttributionFromProto(
    const v1::AttributeRequest& request, const ServedModel& model);

// The error with the field as the request has it: a backend names the fields of
// models::AttributionRequest, which stand under "options".
absl::Status WithRequestField(const absl::Status& status);

}  // namespace spar::service
