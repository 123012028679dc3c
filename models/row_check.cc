#include "models/row_check.h"

#include <string>

#include "base/status.h"

namespace spar::models {
namespace {

using base::Cat;

absl::Status BadSize(std::string_view field,
                     std::string_view what,
                     size_t have,
                     size_t want) {
  return base::InvalidArgument("ROW_OUT_OF_RANGE", field,
                               Cat(what, ": have ", have, ", want ", want),
                               {{"have", Cat(have)}, {"want", Cat(want)}});
}

absl::Status DecompositionNotFound(std::string_view name) {
  return base::Error(absl::StatusCode::kNotFound,
                     Cat("the model has no decomposition '", name, "'"),
                     {.reason = "DECOMPOSITION_NOT_FOUND",
                      .field = "decomposition",
                      .metadata = {{"decomposition", std::string(name)}}});
}

// What a row and a gradient row have in common.
absl::Status CheckPrompt(const Backend& backend,
                         const std::shared_ptr<const Prompt>& prompt,
                         const IndexSet& positions,
                         bool own_prediction,  // is allowed as the target
                         std::string_view row) {
  if (prompt == nullptr) {
    return base::InvalidArgument("EMPTY_PROMPT", Cat(row, ".prompt"),
                                 "a row of no prompt");
  }
  const ModelInfo& info = backend.info();
  RETURN_IF_ERROR(CheckTokens(info, prompt->tokens, Cat(row, ".prompt")));
  if (!own_prediction || prompt->target != kOwnPrediction) {
    RETURN_IF_ERROR(CheckToken(prompt->target, info.vocab_size,
                               Cat(row, ".prompt.target")));
  }
  const size_t length = prompt->tokens.size();
  if (static_cast<size_t>(positions.universe()) != length) {
    return BadSize(Cat(row, ".positions"), "positions of the prompt",
                   positions.universe(), length);
  }
  if (!positions.Contains(static_cast<int32_t>(length) - 1)) {
    return base::InvalidArgument(
        "READOUT_REMOVED", Cat(row, ".positions"),
        Cat("the readout position ", length - 1, " must be kept"),
        {{"position", Cat(length - 1)}});
  }
  if (prompt->reference == ReferenceKind::kMean &&
      backend.reference_prompts().empty()) {
    return base::Error(
        absl::StatusCode::kFailedPrecondition,
        "the mean reference needs reference prompts; this model has none",
        {.reason = "NO_REFERENCE_PROMPTS", .field = Cat(row, ".prompt")});
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckToken(TokenId token, int vocab_size, std::string_view field) {
  if (token >= 0 && token < vocab_size) return absl::OkStatus();
  return base::InvalidArgument(
      "TOKEN_OUT_OF_RANGE", field,
      Cat(field, " is ", token, ": want [0, ", vocab_size, ")"),
      {{"token", Cat(token)}, {"vocab_size", Cat(vocab_size)}});
}

absl::Status CheckTokens(const ModelInfo& info,
                         std::span<const TokenId> tokens,
                         std::string_view field) {
  const std::string path = Cat(field, ".tokens");
  if (tokens.empty() ||
      tokens.size() > static_cast<size_t>(info.context_length)) {
    return base::InvalidArgument(
        tokens.empty() ? "EMPTY_PROMPT" : "PROMPT_TOO_LONG", path,
        Cat("prompt of ", tokens.size(), " tokens: want 1 to ",
            info.context_length),
        {{"tokens", Cat(tokens.size())},
         {"max_tokens", Cat(info.context_length)}});
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    RETURN_IF_ERROR(
        CheckToken(tokens[i], info.vocab_size, Cat(path, "[", i, "]")));
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> CheckImportances(
    const Backend& backend,
    std::string_view decomposition,
    std::span<const std::vector<TokenId>> prompts,
    const ImportanceOptions& options) {
  const std::span<const DecompositionInfo> all = backend.decompositions();
  size_t index = 0;
  while (index < all.size() && all[index].name != decomposition) ++index;
  if (index == all.size()) return DecompositionNotFound(decomposition);
  const double threshold = options.threshold;
  if (!(threshold >= 0 && threshold <= 1)) {  // true for NaN
    return base::InvalidArgument("THRESHOLD_OUT_OF_RANGE", "threshold",
                                 Cat("threshold ", threshold, ": want 0 to 1"),
                                 {{"threshold", Cat(threshold)}});
  }
  for (size_t i = 0; i < prompts.size(); ++i) {
    RETURN_IF_ERROR(
        CheckTokens(backend.info(), prompts[i], Cat("prompts[", i, "]")));
  }
  return index;
}

absl::StatusOr<int> NumUnits(const Backend& backend,
                             const Prompt& prompt,
                             std::string_view field) {
  const std::string path = Cat(field, ".decomposition");
  if (prompt.space == UnitSpace::kHeadsAndNeurons) {
    if (prompt.decomposition.empty()) return backend.units().size();
    return base::InvalidArgument(
        "DECOMPOSITION_NOT_WANTED", path,
        "a decomposition is named, but the units are heads and neurons",
        {{"decomposition", prompt.decomposition}});
  }
  const DecompositionSpec* const spec =
      backend.FindDecomposition(prompt.decomposition);
  if (spec == nullptr) {
    return base::Error(
        absl::StatusCode::kNotFound,
        Cat("the model has no decomposition '", prompt.decomposition, "'"),
        {.reason = "DECOMPOSITION_NOT_FOUND",
         .field = path,
         .metadata = {{"decomposition", prompt.decomposition}}});
  }
  const int64_t num_units =
      CountUnits(*spec, prompt.space, static_cast<int>(prompt.tokens.size()));
  if (num_units <= kMaxUnits) return static_cast<int>(num_units);
  return base::InvalidArgument(
      "TOO_MANY_UNITS", Cat(field, ".tokens"),
      Cat("a prompt of ", prompt.tokens.size(), " tokens has ", num_units,
          " nodes: at most ", kMaxUnits, " are taken"),
      {{"units", Cat(num_units)}, {"max_units", Cat(kMaxUnits)}});
}

absl::Status CheckRows(const Backend& backend, std::span<const Row> rows) {
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::string field = Cat("rows[", i, "]");
    const Row& row = rows[i];
    RETURN_IF_ERROR(CheckPrompt(backend, row.prompt, row.positions,
                                /*own_prediction=*/true, field));
    ASSIGN_OR_RETURN(const int num_units,
                     NumUnits(backend, *row.prompt, Cat(field, ".prompt")));
    if (row.units.universe() != num_units) {
      return BadSize(Cat(field, ".units"), "units", row.units.universe(),
                     num_units);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRows(const Backend& backend,
                       std::span<const GradientRow> rows) {
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::string field = Cat("rows[", i, "]");
    const GradientRow& row = rows[i];
    RETURN_IF_ERROR(CheckPrompt(backend, row.prompt, row.positions,
                                /*own_prediction=*/false, field));
    ASSIGN_OR_RETURN(const size_t num_units,
                     NumUnits(backend, *row.prompt, Cat(field, ".prompt")));
    if (row.masks.size() != num_units) {
      return BadSize(Cat(field, ".masks"), "units", row.masks.size(),
                     num_units);
    }
    for (size_t unit = 0; unit < num_units; ++unit) {
      const float mask = row.masks[unit];
      if (mask >= 0 && mask <= 1) continue;  // false for NaN
      return base::InvalidArgument(
          "MASK_OUT_OF_RANGE", Cat(field, ".masks[", unit, "]"),
          Cat("mask ", mask, ": want 0 to 1"), {{"mask", Cat(mask)}});
    }
  }
  return absl::OkStatus();
}

absl::Status CheckDecomposition(const Backend& backend, std::string_view name) {
  if (name.empty() || backend.FindDecomposition(name) != nullptr) {
    return absl::OkStatus();
  }
  return DecompositionNotFound(name);
}

}  // namespace spar::models
