#include "server/service/decomposition_from_proto.h"

#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "server/service/from_proto.h"
#include "server/service/limits.h"
#include "server/service/option_check.h"

namespace spar::service {
namespace {

using base::Cat;

absl::StatusOr<std::vector<std::vector<models::TokenId>>> PromptsFromProto(
    const v1::ImportancesRequest& request,
    const ServedDecomposition& decomposition) {
  if (request.prompts().empty()) {
    return base::InvalidArgument("EMPTY_PROMPT", "prompts",
                                 "there are no prompts: want at least one");
  }
  if (request.prompts_size() > kMaxImportancePrompts) {
    return TooManyPrompts(request.prompts_size(), "prompts",
                          kMaxImportancePrompts);
  }
  std::vector<std::vector<models::TokenId>> prompts;
  int64_t num_tokens = 0;
  for (int i = 0; i < request.prompts_size(); ++i) {
    const std::string field = Cat("prompts[", i, "]");
    ASSIGN_OR_RETURN(
        std::vector<models::TokenId> tokens,
        TokensFromProto(request.prompts(i), *decomposition.model, field));
    RETURN_IF_ERROR(
        CheckPromptSize(tokens.size(), decomposition.info->spec, field));
    num_tokens += std::ssize(tokens);
    if (num_tokens > kMaxImportanceTokens) {
      return TooManyPrompts(num_tokens, "tokens", kMaxImportanceTokens);
    }
    prompts.push_back(std::move(tokens));
  }
  return prompts;
}

}  // namespace

absl::StatusOr<std::vector<int>> ModulesFromProto(
    const google::protobuf::RepeatedPtrField<std::string>& names,
    const models::DecompositionSpec& spec,
    std::string_view field) {
  std::vector<int> indices;
  for (size_t m = 0; names.empty() && m < spec.modules.size(); ++m) {
    indices.push_back(static_cast<int>(m));
  }
  std::vector<bool> named(spec.modules.size());
  for (int i = 0; i < names.size(); ++i) {
    const std::string entry = Cat(field, "[", i, "]");
    size_t m = 0;
    while (m < spec.modules.size() && spec.modules[m].name != names[i]) ++m;
    if (m == spec.modules.size()) {
      return base::InvalidArgument(
          "UNKNOWN_MODULE", entry,
          Cat(entry, " is '", names[i], "', which is not decomposed"),
          {{"module", names[i]}});
    }
    if (named[m]) {
      return base::InvalidArgument("DUPLICATE_MODULE", entry,
                                   Cat(entry, " names '", names[i], "' again"),
                                   {{"module", names[i]}});
    }
    named[m] = true;
    indices.push_back(static_cast<int>(m));
  }
  return indices;
}

absl::Status TooManyPrompts(int64_t count,
                            std::string_view what,
                            int64_t limit) {
  return base::InvalidArgument(
      "TOO_MANY_PROMPTS", "prompts",
      Cat("prompts has ", count, " ", what, ": want at most ", limit),
      {{"count", Cat(count)},
       {"what", std::string(what)},
       {"limit", Cat(limit)}});
}

int MaxImportanceTokens(const models::DecompositionSpec& spec) {
  return spec.ci.attention ? spec.ci.attention->max_positions : 0;
}

absl::Status CheckPromptLength(size_t num_tokens,
                               const models::DecompositionSpec& spec,
                               const std::string& field) {
  const int longest = MaxImportanceTokens(spec);
  if (longest == 0 || num_tokens <= static_cast<size_t>(longest)) {
    return absl::OkStatus();
  }
  return base::InvalidArgument(
      "PROMPT_TOO_LONG", field,
      Cat(field, " has ", num_tokens,
          " tokens: the causal importance function takes at most ", longest),
      {{"token_count", Cat(num_tokens)}, {"max_token_count", Cat(longest)}});
}

absl::Status CheckPromptSize(size_t num_tokens,
                             const models::DecompositionSpec& spec,
                             const std::string& field) {
  RETURN_IF_ERROR(CheckPromptLength(num_tokens, spec, field));
  const int64_t cells =
      static_cast<int64_t>(num_tokens) * spec.num_components();
  if (cells <= kMaxImportanceCells) return absl::OkStatus();
  return base::Error(
      absl::StatusCode::kResourceExhausted,
      Cat(field, " has ", num_tokens, " tokens of ", spec.num_components(),
          " subcomponents: want at most ", kMaxImportanceCells, " in all"),
      {.reason = "IMPORTANCES_TOO_LARGE",
       .field = field,
       .metadata = {{"token_count", Cat(num_tokens)},
                    {"subcomponent_count", Cat(spec.num_components())},
                    {"limit", Cat(kMaxImportanceCells)}}});
}

absl::StatusOr<DecompositionPart> DecompositionPartFromProto(
    const v1::GetDecompositionRequest& request,
    const models::DecompositionInfo& info) {
  DecompositionPart part;
  part.view = request.view() == v1::DECOMPOSITION_VIEW_UNSPECIFIED
                  ? v1::DECOMPOSITION_VIEW_MODULES
                  : request.view();
  RETURN_IF_ERROR(CheckField(v1::DecompositionView_IsValid(part.view), "view",
                             static_cast<int>(part.view),
                             "a value of its enum"));
  ASSIGN_OR_RETURN(part.modules,
                   ModulesFromProto(request.modules(), info.spec));
  if (part.view != v1::DECOMPOSITION_VIEW_FULL) return part;
  int64_t norms = 0;
  for (const int m : part.modules) norms += info.spec.modules[m].num_components;
  if (norms <= kMaxNorms) return part;
  return base::InvalidArgument(
      "TOO_MANY_NORMS", "view",
      Cat("view FULL of these modules has ", norms, " norms: want at most ",
          kMaxNorms, "; ask for fewer modules"),
      {{"norm_count", Cat(norms)}, {"limit", Cat(kMaxNorms)}});
}

absl::StatusOr<search::ImportanceQuestion> ImportancesFromProto(
    const v1::ImportancesRequest& request,
    const ServedDecomposition& decomposition) {
  search::ImportanceQuestion question;
  question.decomposition = decomposition.info->name;
  ASSIGN_OR_RETURN(question.prompts, PromptsFromProto(request, decomposition));
  question.threshold = request.threshold();
  RETURN_IF_ERROR(CheckField(question.threshold >= 0 && question.threshold <= 1,
                             "threshold", question.threshold, "[0, 1]"));
  question.max_per_position = request.max_subcomponent_count();
  RETURN_IF_ERROR(CheckField(question.max_per_position >= 0,
                             "max_subcomponent_count",
                             question.max_per_position, "0 or more"));
  ASSIGN_OR_RETURN(
      question.modules,
      ModulesFromProto(request.modules(), decomposition.info->spec));
  question.max_entries = kMaxImportanceEntries;
  return question;
}

}  // namespace spar::service
