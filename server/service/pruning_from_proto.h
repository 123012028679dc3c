// L5. Prune requests from the wire.
#pragma once

#include "absl/status/statusor.h"

#include "models/prune.h"
#include "server/search/explanation.h"
#include "server/service/model_registry.h"
#include "spar/v1/pruning_service.pb.h"

namespace spar::service {

// The one that the request names. NO_DECOMPOSITION, DECOMPOSITION_NOT_FOUND.
absl::StatusOr<ServedDecomposition> PrunedDecomposition(
    const v1::PruneRequest& request, const ServedModel& model);

// Defaults filled in, positions in [0, tokens). kInvalidArgument EMPTY_PROMPT,
// PROMPT_TOO_LONG, TEXT_TOO_LONG, UNENCODABLE_TEXT, TOKEN_OUT_OF_RANGE,
// NOT_ONE_TOKEN, POSITION_OUT_OF_RANGE, OPTION_OUT_OF_RANGE, TOO_MANY_PROMPTS,
// with the field; kResourceExhausted IMPORTANCES_TOO_LARGE.
absl::StatusOr<models::PruneRequest> PruneFromProto(
    const v1::PruneRequest& request, const ServedDecomposition& decomposition);

// How a row's nodes are searched: PruneRequest.crystallize, which is there.
// OPTION_OUT_OF_RANGE, DECOMPOSITION_NOT_WANTED.
absl::StatusOr<search::CrystallizeOptions> PrunedSearchFromProto(
    const v1::PruneRequest& request);

// The status of a search over a row, its field as PruneRequest names it.
absl::Status WithCrystallizeField(const absl::Status& status);

}  // namespace spar::service
