// L3. The rules of a question.
#include "server/search/question_check.h"

#include <cmath>
#include <map>
#include <string>

#include "base/status.h"
#include "models/row_check.h"
#include "server/search/question_units.h"

namespace spar::search {
namespace {

using Metadata = std::map<std::string, std::string>;

std::string Text(double number) {
  return base::Cat(number);
}

// [low, high], or (low, high] where it says so.
struct Range {
  double low = 0;
  double high = 0;
  bool open_low = false;
};

absl::Status CheckNumber(double value,
                         std::string_view field,
                         const Range& range) {
  const bool above = range.open_low ? value > range.low : value >= range.low;
  if (std::isfinite(value) && above && value <= range.high)
    return absl::OkStatus();
  const Metadata metadata = {{"value", Text(value)},
                             {"min", Text(range.low)},
                             {"max", Text(range.high)}};
  return base::InvalidArgument(
      "OPTION_OUT_OF_RANGE", field,
      base::Cat(field, " is ", value, ": want ", range.open_low ? "(" : "[",
                range.low, ", ", range.high, "]"),
      metadata);
}

Range Closed(double low, double high) {
  Range range;
  range.low = low;
  range.high = high;
  return range;
}

absl::Status CheckOptions(const CrystallizeOptions& options) {
  constexpr double kMost = 9007199254740992.0;  // 2^53
  RETURN_IF_ERROR(CheckNumber(options.tau, "options.tau", Closed(0, 100)));
  Range share = Closed(0, 1);
  RETURN_IF_ERROR(CheckNumber(options.contrast_threshold,
                              "options.contrast_threshold", share));
  RETURN_IF_ERROR(
      CheckNumber(options.margin_share, "options.margin_share", share));
  RETURN_IF_ERROR(CheckNumber(options.precision_threshold,
                              "options.precision_threshold", Closed(0.5, 1)));
  share.open_low = true;
  RETURN_IF_ERROR(
      CheckNumber(options.sparse_fraction, "options.sparse_fraction", share));
  RETURN_IF_ERROR(CheckNumber(static_cast<double>(options.max_rows),
                              "options.max_rows", Closed(0, kMost)));
  RETURN_IF_ERROR(
      CheckNumber(options.max_seconds, "options.max_seconds", Closed(0, 1e9)));
  RETURN_IF_ERROR(CheckNumber(options.target_units, "options.target_units",
                              Closed(0, 1e9)));
  RETURN_IF_ERROR(CheckNumber(options.attack_steps, "options.attack_steps",
                              Closed(0, kMaxAttackSteps)));
  Range step_size = Closed(0, 1);
  step_size.open_low = true;
  RETURN_IF_ERROR(CheckNumber(options.attack_step_size,
                              "options.attack_step_size", step_size));
  RETURN_IF_ERROR(CheckNumber(options.attack_restarts,
                              "options.attack_restarts",
                              Closed(1, kMaxAttackRestarts)));
  return CheckNumber(options.improvement_rounds, "options.improvement_rounds",
                     Closed(0, 100));
}

// Whether the scheme has units to choose from.
absl::Status CheckScheme(
    const Question& question,
    std::span<const models::DecompositionInfo> decompositions) {
  constexpr char kField[] = "options.decomposition";
  const models::UnitScheme scheme = question.options.scheme;
  const std::string scheme_name(models::UnitSchemeName(scheme));
  const std::string& name = question.options.decomposition;
  if (models::SpaceOf(scheme) == models::UnitSpace::kHeadsAndNeurons) {
    if (name.empty()) return absl::OkStatus();
    return base::InvalidArgument(
        "DECOMPOSITION_NOT_WANTED", kField,
        base::Cat("units of the scheme ", scheme_name,
                  " are of no decomposition, and one is named"),
        {{"decomposition", name}, {"unit_scheme", scheme_name}});
  }
  if (name.empty()) {
    return base::InvalidArgument(
        "DECOMPOSITION_REQUIRED", kField,
        base::Cat("units of the scheme ", scheme_name,
                  " are of a decomposition, and none is named"),
        {{"unit_scheme", scheme_name}});
  }
  const models::DecompositionInfo* const decomposition =
      FindDecomposition(decompositions, name);
  if (decomposition == nullptr) {
    return base::Error(
        absl::StatusCode::kNotFound,
        base::Cat("the model has no decomposition '", name, "'"),
        {"DECOMPOSITION_NOT_FOUND", kField, {{"decomposition", name}}});
  }
  const int64_t num_units =
      models::CountUnits(decomposition->spec, models::SpaceOf(scheme),
                         static_cast<int>(question.tokens.size()));
  if (num_units <= kMaxQuestionUnits) return absl::OkStatus();
  return base::InvalidArgument(
      "TOO_MANY_UNITS", "prompt",
      base::Cat("the prompt of ", question.tokens.size(), " tokens has ",
                num_units, " units of the scheme ", scheme_name, ": at most ",
                kMaxQuestionUnits, " are searched"),
      {{"units", base::Cat(num_units)},
       {"max_units", base::Cat(kMaxQuestionUnits)}});
}

// The scheme has passed.
absl::Status CheckInitialUnits(
    const Question& question,
    const models::UnitTable& model_units,
    std::span<const models::DecompositionInfo> decompositions) {
  if (!question.initial_units.has_value()) return absl::OkStatus();
  const models::UnitScheme scheme = question.options.scheme;
  const models::DecompositionInfo* const decomposition =
      FindDecomposition(decompositions, question.options.decomposition);
  const models::UnitTable units =
      decomposition == nullptr
          ? model_units
          : models::MakeUnitTable(decomposition->spec, models::SpaceOf(scheme),
                                  static_cast<int>(question.tokens.size()));
  models::IndexSet seen(units.size());
  for (size_t i = 0; i < question.initial_units->size(); ++i) {
    const models::UnitId id = (*question.initial_units)[i];
    const char* wrong = nullptr;
    if (id < 0 || id >= units.size()) {
      wrong = "is no unit";
    } else if (!units.Contains(scheme, id)) {
      wrong = "is not of the scheme";
    } else if (seen.Contains(id)) {
      wrong = "comes twice";
    }
    if (wrong != nullptr) {
      const std::string field = base::Cat("options.initial_unit_ids[", i, "]");
      return base::InvalidArgument(
          "BAD_INITIAL_UNIT", field,
          base::Cat(field, " is ", id, ", which ", wrong, ": want distinct ",
                    models::UnitSchemeName(scheme), " units in [0, ",
                    units.size(), ")"),
          {{"unit_id", base::Cat(id)},
           {"unit_scheme", std::string(models::UnitSchemeName(scheme))},
           {"unit_count", base::Cat(units.size())}});
    }
    seen.Insert(id);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTokens(const std::vector<models::TokenId>& tokens,
                         const models::ModelInfo& info) {
  const int64_t length = static_cast<int64_t>(tokens.size());
  if (length == 0) {
    return base::InvalidArgument("EMPTY_PROMPT", "prompt",
                                 "the prompt has no tokens");
  }
  if (length > info.context_length) {
    const Metadata metadata = {
        {"tokens", base::Cat(length)},
        {"context_length", base::Cat(info.context_length)}};
    return base::InvalidArgument(
        "PROMPT_TOO_LONG", "prompt",
        base::Cat("the prompt has ", length, " tokens: the model takes ",
                  info.context_length),
        metadata);
  }
  for (int64_t i = 0; i < length; ++i) {
    RETURN_IF_ERROR(models::CheckToken(tokens[static_cast<size_t>(i)],
                                       info.vocab_size,
                                       base::Cat("prompt.tokens[", i, "]")));
  }
  return absl::OkStatus();
}

absl::Status CheckQuestion(
    const Question& question,
    const models::ModelInfo& info,
    const models::UnitTable& units,
    std::span<const models::DecompositionInfo> decompositions,
    bool has_reference_prompts) {
  RETURN_IF_ERROR(CheckTokens(question.tokens, info));
  if (question.target.has_value()) {
    RETURN_IF_ERROR(
        models::CheckToken(*question.target, info.vocab_size, "target_id"));
  }
  RETURN_IF_ERROR(CheckOptions(question.options));
  RETURN_IF_ERROR(CheckScheme(question, decompositions));
  RETURN_IF_ERROR(CheckInitialUnits(question, units, decompositions));
  if (has_reference_prompts) return absl::OkStatus();
  const char* what = nullptr;
  const char* field = nullptr;
  if (question.options.mode == Mode::kGrounded) {
    what = "grounded mode draws its samples from them; ask for SUFFICIENT mode";
    field = "options.mode";
  } else if (question.options.reference == models::ReferenceKind::kMean) {
    what = "the mean reference is taken over them; ask for the zero reference";
    field = "options.reference";
  } else {
    return absl::OkStatus();
  }
  return base::Error(absl::StatusCode::kFailedPrecondition,
                     base::Cat("the model has no reference prompts: ", what),
                     {"NO_REFERENCE_PROMPTS", field, {}});
}

}  // namespace spar::search
