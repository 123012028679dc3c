#include "server/service/evaluation_from_proto.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "models/evaluation_check.h"
#include "server/service/decomposition_from_proto.h"
#include "server/service/evaluation_words.h"
#include "server/service/from_proto.h"
#include "server/service/limits.h"

namespace spar::service {
namespace {

using base::Cat;
using models::TokenId;

const std::vector<double>& DefaultSweep() {
  static const std::vector<double> sweep = {0,   0.01, 0.03, 0.1,
                                            0.3, 0.5,  0.7,  0.9};
  return sweep;
}

absl::StatusOr<models::EvaluationAttack> EvaluationAttackFromProto(
    const v1::EvaluationAttack& from) {
  models::EvaluationAttack to;
  if (!from.step_counts().empty()) {
    to.step_counts.assign(from.step_counts().begin(), from.step_counts().end());
  }
  if (from.has_step_size()) to.step_size = from.step_size();
  if (from.restart_count() != 0) to.restarts = from.restart_count();
  to.max_batches = from.max_batch_count();
  if (from.scopes().empty()) return to;
  to.scopes.clear();
  for (int i = 0; i < from.scopes_size(); ++i) {
    ASSIGN_OR_RETURN(const models::AttackScope scope,
                     EnumFromProto(kAttackScopes, from.scopes(i),
                                   Cat("options.attack.scopes[", i, "]")));
    to.scopes.push_back(scope);
  }
  return to;
}

absl::StatusOr<models::EvaluationSubset> EvaluationSubsetFromProto(
    const v1::EvaluationSubset& from,
    const models::DecompositionSpec& spec,
    const std::string& field) {
  RETURN_IF_ERROR(CheckField(
      from.name().size() <= kMaxSubsetNameBytes, Cat(field, ".name"),
      Cat(from.name().size(), " bytes"), Cat("at most ", kMaxSubsetNameBytes)));
  RETURN_IF_ERROR(CheckField(!from.modules().empty(), Cat(field, ".modules"),
                             "empty", "at least one"));
  models::EvaluationSubset to{.name = from.name()};
  ASSIGN_OR_RETURN(to.modules, ModulesFromProto(from.modules(), spec,
                                                Cat(field, ".modules")));
  return to;
}

absl::Status OptionsFromProto(const v1::EvaluationOptions& from,
                              const ServedDecomposition& decomposition,
                              EvaluationQuestion& to) {
  const models::DecompositionSpec& spec = decomposition.info->spec;
  int longest = decomposition.model->explainer->info().context_length;
  if (const int limit = MaxImportanceTokens(spec); limit > 0) {
    longest = std::min(longest, limit);
  }
  to.row_length = from.row_length();
  RETURN_IF_ERROR(CheckField(
      to.row_length == 0 || (to.row_length >= 2 && to.row_length <= longest),
      "options.row_length", to.row_length, Cat("0, or [2, ", longest, "]")));
  models::EvaluationRequest& request = to.request;
  request.batch_rows = from.batch_row_count();
  request.alive_threshold = from.alive_threshold();
  if (from.has_alive_mean_importance()) {
    request.alive_mean = from.alive_mean_importance();
  }
  request.rounding_threshold = from.rounding_threshold();
  if (from.sample_count() != 0) request.samples = from.sample_count();
  request.seed = from.seed();
  request.sweep = DefaultSweep();
  if (!from.sweep_thresholds().empty()) {
    request.sweep.assign(from.sweep_thresholds().begin(),
                         from.sweep_thresholds().end());
  }
  for (int i = 0; i < from.subsets_size(); ++i) {
    ASSIGN_OR_RETURN(
        models::EvaluationSubset subset,
        EvaluationSubsetFromProto(from.subsets(i), spec,
                                  Cat("options.subsets[", i, "]")));
    request.subsets.push_back(std::move(subset));
  }
  if (from.has_attack()) {
    ASSIGN_OR_RETURN(request.attack, EvaluationAttackFromProto(from.attack()));
  }
  return models::CheckEvaluationOptions(spec, request);
}

// Adds the rows of one prompt.
absl::Status AddRows(const std::vector<TokenId>& tokens,
                     const EvaluationQuestion& question,
                     std::vector<std::vector<TokenId>>& rows) {
  const size_t length = question.row_length == 0
                            ? tokens.size()
                            : static_cast<size_t>(question.row_length);
  for (size_t begin = 0; begin + 1 < tokens.size(); begin += length) {
    const size_t end = std::min(begin + length, tokens.size());
    rows.emplace_back(tokens.begin() + static_cast<long>(begin),
                      tokens.begin() + static_cast<long>(end));
  }
  return CheckField(rows.size() <= models::kMaxEvaluationRows, "prompts",
                    Cat("more than ", models::kMaxEvaluationRows, " rows"),
                    "longer rows or fewer prompts");
}

absl::Status RowsFromProto(const v1::EvaluateRequest& request,
                           const ServedDecomposition& decomposition,
                           EvaluationQuestion& to) {
  if (request.prompts().empty()) {
    return base::InvalidArgument("EMPTY_PROMPT", "prompts",
                                 "there are no prompts: want at least one");
  }
  if (request.prompts_size() > kMaxEvaluationPrompts) {
    return TooManyPrompts(request.prompts_size(), "prompts",
                          kMaxEvaluationPrompts);
  }
  int64_t num_tokens = 0;
  for (int i = 0; i < request.prompts_size(); ++i) {
    const std::string field = Cat("prompts[", i, "]");
    ASSIGN_OR_RETURN(
        const std::vector<TokenId> tokens,
        to.row_length > 0
            ? AnyTokensFromProto(request.prompts(i), *decomposition.model,
                                 field)
            : TokensFromProto(request.prompts(i), *decomposition.model, field));
    RETURN_IF_ERROR(models::CheckHasNextToken(tokens.size(), field));
    if (to.row_length == 0) {
      RETURN_IF_ERROR(
          CheckPromptLength(tokens.size(), decomposition.info->spec, field));
    }
    num_tokens += std::ssize(tokens);
    if (num_tokens > kMaxEvaluationTokens) {
      return TooManyPrompts(num_tokens, "tokens", kMaxEvaluationTokens);
    }
    RETURN_IF_ERROR(AddRows(tokens, to, to.request.rows));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EvaluationQuestion> EvaluationFromProto(
    const v1::EvaluateRequest& request,
    const ServedDecomposition& decomposition) {
  EvaluationQuestion question;
  question.request.decomposition = decomposition.info->name;
  RETURN_IF_ERROR(OptionsFromProto(request.options(), decomposition, question));
  RETURN_IF_ERROR(RowsFromProto(request, decomposition, question));
  return question;
}

}  // namespace spar::service
