#include "models/evaluation_check.h"

#include <algorithm>
#include <string>

#include "base/status.h"
#include "models/ablation_check.h"
#include "models/option_check.h"
#include "models/row_check.h"

namespace spar::models {
namespace {

using base::Cat;

// OPTION_OUT_OF_RANGE unless [least, most] entries.
absl::Status CheckEntries(size_t count,
                          size_t least,
                          size_t most,
                          std::string_view field) {
  if (count >= least && count <= most) return absl::OkStatus();
  return OptionOutOfRange(field, Cat(count, " entries"),
                          Cat(least, " to ", most));
}

absl::Status CheckSubset(const DecompositionSpec& spec,
                         const EvaluationSubset& subset,
                         const std::string& field) {
  RETURN_IF_ERROR(CheckEntries(subset.modules.size(), 1, spec.modules.size(),
                               Cat(field, ".modules")));
  const int last = static_cast<int>(spec.modules.size()) - 1;
  for (size_t i = 0; i < subset.modules.size(); ++i) {
    RETURN_IF_ERROR(CheckWithin(subset.modules[i], 0, last,
                                Cat(field, ".modules[", i, "]")));
  }
  return absl::OkStatus();
}

absl::Status CheckAttack(const EvaluationAttack& attack) {
  constexpr std::string_view kField = "options.attack.step_counts";
  RETURN_IF_ERROR(
      CheckEntries(attack.step_counts.size(), 1, kMaxAttackStepCounts, kField));
  for (size_t i = 0; i < attack.step_counts.size(); ++i) {
    const int least = i == 0 ? 0 : attack.step_counts[i - 1] + 1;
    const int steps = attack.step_counts[i];
    if (steps >= least && steps <= kMaxAdversarySteps) continue;
    return OptionOutOfRange(
        Cat(kField, "[", i, "]"), Cat(steps),
        Cat("ascending counts, here [", least, ", ", kMaxAdversarySteps, "]"));
  }
  if (!(attack.step_size > 0 && attack.step_size <= 1)) {
    return OptionOutOfRange("options.attack.step_size", Cat(attack.step_size),
                            "(0, 1]");
  }
  RETURN_IF_ERROR(CheckWithin(attack.restarts, 1, kMaxAdversaryRestarts,
                              "options.attack.restart_count"));
  RETURN_IF_ERROR(
      CheckEntries(attack.scopes.size(), 1, 2, "options.attack.scopes"));
  if (attack.scopes.size() == 2 && attack.scopes[0] == attack.scopes[1]) {
    return OptionOutOfRange("options.attack.scopes[1]", "the first again",
                            "each scope once");
  }
  return CheckWithin(attack.max_batches, 0, 1 << 30,
                     "options.attack.max_batch_count");
}

}  // namespace

absl::Status CheckHasNextToken(size_t num_tokens, std::string_view field) {
  if (num_tokens >= 2) return absl::OkStatus();
  return base::InvalidArgument(
      "PROMPT_TOO_SHORT", field,
      Cat(field, " has ", num_tokens, " token", num_tokens == 1 ? "" : "s",
          ": want at least 2, so that there is a next one"),
      {{"token_count", Cat(num_tokens)}});
}

absl::Status CheckEvaluationOptions(const DecompositionSpec& spec,
                                    const EvaluationRequest& request) {
  RETURN_IF_ERROR(CheckWithin(request.batch_rows, 0,
                              static_cast<int>(kMaxEvaluationRows),
                              "options.batch_row_count"));
  RETURN_IF_ERROR(CheckWithin(request.alive_threshold, 0.0, 1.0,
                              "options.alive_threshold"));
  RETURN_IF_ERROR(CheckWithin(request.alive_mean, 0.0, 1.0,
                              "options.alive_mean_importance"));
  RETURN_IF_ERROR(CheckWithin(request.rounding_threshold, 0.0, 1.0,
                              "options.rounding_threshold"));
  RETURN_IF_ERROR(CheckWithin(request.samples, 1, kMaxEvaluationSamples,
                              "options.sample_count"));
  RETURN_IF_ERROR(CheckEntries(request.sweep.size(), 0, kMaxSweepThresholds,
                               "options.sweep_thresholds"));
  for (size_t i = 0; i < request.sweep.size(); ++i) {
    RETURN_IF_ERROR(CheckWithin(request.sweep[i], 0.0, 1.0,
                                Cat("options.sweep_thresholds[", i, "]")));
  }
  RETURN_IF_ERROR(CheckEntries(request.subsets.size(), 0, kMaxEvaluationSubsets,
                               "options.subsets"));
  for (size_t i = 0; i < request.subsets.size(); ++i) {
    RETURN_IF_ERROR(
        CheckSubset(spec, request.subsets[i], Cat("options.subsets[", i, "]")));
  }
  return request.attack.has_value() ? CheckAttack(*request.attack)
                                    : absl::OkStatus();
}

absl::StatusOr<size_t> CheckEvaluation(const Backend& backend,
                                       const EvaluationRequest& request) {
  ASSIGN_OR_RETURN(const size_t index,
                   CheckImportances(backend, request.decomposition, {}, {}));
  RETURN_IF_ERROR(
      CheckEntries(request.rows.size(), 1, kMaxEvaluationRows, "prompts"));
  for (size_t i = 0; i < request.rows.size(); ++i) {
    const std::string field = Cat("rows[", i, "]");
    RETURN_IF_ERROR(CheckTokens(backend.info(), request.rows[i], field));
    RETURN_IF_ERROR(CheckHasNextToken(request.rows[i].size(), field));
  }
  RETURN_IF_ERROR(
      CheckEvaluationOptions(backend.decompositions()[index].spec, request));
  return index;
}

}  // namespace spar::models
