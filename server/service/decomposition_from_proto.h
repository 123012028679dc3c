// L5. What DecompositionService is asked, as plain values; see from_proto.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "models/decomposition_spec.h"
#include "models/importances.h"
#include "server/search/importances.h"
#include "server/service/model_registry.h"
#include "spar/v1/decomposition_service.pb.h"

namespace spar::service {

// How much of a decomposition to tell.
struct DecompositionPart {
  v1::DecompositionView view = v1::DECOMPOSITION_VIEW_BASIC;
  std::vector<int> modules = {};  // indices; not of BASIC
};

// OPTION_OUT_OF_RANGE, UNKNOWN_MODULE, DUPLICATE_MODULE, TOO_MANY_NORMS.
absl::StatusOr<DecompositionPart> DecompositionPartFromProto(
    const v1::GetDecompositionRequest& request,
    const models::DecompositionInfo& info);

// TOO_MANY_PROMPTS of field "prompts": it has `count` prompts, or tokens.
absl::Status TooManyPrompts(int64_t count,
                            std::string_view what,
                            int64_t limit);

// The modules named, or all; indices of the specification's. UNKNOWN_MODULE,
// DUPLICATE_MODULE, of `field`[i].
absl::StatusOr<std::vector<int>> ModulesFromProto(
    const google::protobuf::RepeatedPtrField<std::string>& names,
    const models::DecompositionSpec& spec,
    std::string_view field = "modules");

// The longest prompt that the importance function takes; 0: any.
int MaxImportanceTokens(const models::DecompositionSpec& spec);

// PROMPT_TOO_LONG for the importance function.
absl::Status CheckPromptLength(size_t num_tokens,
                               const models::DecompositionSpec& spec,
                               const std::string& field);

// One prompt against what its decomposition can take. kInvalidArgument
// PROMPT_TOO_LONG for the CI function; kResourceExhausted
// IMPORTANCES_TOO_LARGE.
absl::Status CheckPromptSize(size_t num_tokens,
                             const models::DecompositionSpec& spec,
                             const std::string& field);

// All of a request but its name, which `decomposition` is of. kInvalidArgument
// as the service says; kResourceExhausted IMPORTANCES_TOO_LARGE.
absl::StatusOr<search::ImportanceQuestion> ImportancesFromProto(
    const v1::ImportancesRequest& request,
    const ServedDecomposition& decomposition);

}  // namespace spar::service
