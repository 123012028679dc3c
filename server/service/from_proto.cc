#include "server/service/from_proto.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "models/row_check.h"
#include "server/service/limits.h"
#include "server/service/option_check.h"

namespace spar::service {
namespace {

using models::TokenId;

constexpr std::string_view kHexDigits = "0123456789abcdef";

absl::Status OptionOutOfRange(std::string_view field,
                              const std::string& value,
                              std::string_view want) {
  return OutOfRange("OPTION_OUT_OF_RANGE", base::Cat("options.", field), value,
                    want);
}

template <typename T>
absl::Status CheckOption(bool holds,
                         std::string_view field,
                         T value,
                         std::string_view want) {
  return CheckField(holds, base::Cat("options.", field), value, want);
}

// [low, high]; NaN is outside.
absl::Status CheckWithin(double value,
                         double low,
                         double high,
                         std::string_view field) {
  return CheckOption(value >= low && value <= high, field, value,
                     base::Cat("[", low, ", ", high, "]"));
}

// The first entry of each table is the default.
constexpr EnumValue<search::Mode> kModes[] = {
    {v1::MODE_UNSPECIFIED, search::Mode::kGrounded},
    {v1::MODE_SUFFICIENT, search::Mode::kSufficient},
    {v1::MODE_GROUNDED, search::Mode::kGrounded},
};
constexpr EnumValue<models::UnitScheme> kSchemes[] = {
    {v1::UNIT_SCHEME_UNSPECIFIED, models::UnitScheme::kHeadAndNeuron},
    {v1::UNIT_SCHEME_HEAD, models::UnitScheme::kHead},
    {v1::UNIT_SCHEME_NEURON, models::UnitScheme::kNeuron},
    {v1::UNIT_SCHEME_HEAD_AND_NEURON, models::UnitScheme::kHeadAndNeuron},
    {v1::UNIT_SCHEME_SUBCOMPONENT, models::UnitScheme::kSubcomponent},
    {v1::UNIT_SCHEME_SUBCOMPONENT_AND_DELTA,
     models::UnitScheme::kSubcomponentAndDelta},
    {v1::UNIT_SCHEME_NODE, models::UnitScheme::kNode},
    {v1::UNIT_SCHEME_NODE_AND_DELTA, models::UnitScheme::kNodeAndDelta},
};
constexpr EnumValue<models::ReferenceKind> kReferences[] = {
    {v1::REFERENCE_UNSPECIFIED, models::ReferenceKind::kZero},
    {v1::REFERENCE_ZERO, models::ReferenceKind::kZero},
    {v1::REFERENCE_MEAN, models::ReferenceKind::kMean},
};
constexpr EnumValue<models::PositionMode> kPositionModes[] = {
    {v1::POSITION_MODE_UNSPECIFIED, models::PositionMode::kKeepIds},
    {v1::POSITION_MODE_KEEP_IDS, models::PositionMode::kKeepIds},
    {v1::POSITION_MODE_REINDEX, models::PositionMode::kReindex},
};

absl::StatusOr<double> SecondsFromProto(const google::protobuf::Duration& span,
                                        std::string_view field) {
  const std::string value =
      base::Cat(span.seconds(), " s and ", span.nanos(), " ns");
  const std::string want = base::Cat("above 0 s, at most ", kMaxSearchSeconds,
                                     " s, nanos in [0, 999999999]");
  const bool nanos_fit = span.nanos() >= 0 && span.nanos() < 1'000'000'000;
  const bool positive = span.seconds() > 0 || span.nanos() > 0;
  const bool short_enough =
      span.seconds() < kMaxSearchSeconds ||
      (span.seconds() == kMaxSearchSeconds && span.nanos() == 0);
  if (!nanos_fit || span.seconds() < 0 || !positive || !short_enough) {
    return OptionOutOfRange(field, value, want);
  }
  return static_cast<double>(span.seconds()) + 1e-9 * span.nanos();
}

absl::StatusOr<std::optional<TokenId>> TargetFromProto(
    const v1::CrystallizeRequest& request, const ServedModel& model) {
  const int vocab_size = model.explainer->info().vocab_size;
  switch (request.target_case()) {
    case v1::CrystallizeRequest::kTargetId:
      RETURN_IF_ERROR(
          models::CheckToken(request.target_id(), vocab_size, "target_id"));
      return request.target_id();
    case v1::CrystallizeRequest::kTargetText: {
      ASSIGN_OR_RETURN(const TokenId token,
                       TokenFromText(request.target_text(), *model.tokenizer,
                                     "target_text"));
      RETURN_IF_ERROR(models::CheckToken(token, vocab_size, "target_text"));
      return token;
    }
    case v1::CrystallizeRequest::TARGET_NOT_SET:
      break;
  }
  return std::optional<TokenId>();
}

absl::Status BudgetsFromProto(const v1::CrystallizeOptions& from,
                              search::CrystallizeOptions* to) {
  constexpr std::string_view kZeroOrMore = "0 or more";
  RETURN_IF_ERROR(CheckOption(from.max_row_count() >= 0, "max_row_count",
                              from.max_row_count(), kZeroOrMore));
  to->max_rows = from.max_row_count();
  if (from.has_max_duration()) {
    ASSIGN_OR_RETURN(to->max_seconds,
                     SecondsFromProto(from.max_duration(), "max_duration"));
  }
  RETURN_IF_ERROR(CheckOption(from.target_unit_count() >= 0,
                              "target_unit_count", from.target_unit_count(),
                              kZeroOrMore));
  to->target_units = from.target_unit_count();
  if (from.has_improvement_round_count()) {
    to->improvement_rounds = from.improvement_round_count();
  }
  RETURN_IF_ERROR(CheckOption(
      to->improvement_rounds >= 0 && to->improvement_rounds <= 100,
      "improvement_round_count", to->improvement_rounds, "[0, 100]"));
  RETURN_IF_ERROR(
      CheckOption(from.seed() >= 0, "seed", from.seed(), kZeroOrMore));
  to->seed = static_cast<uint64_t>(from.seed());
  return absl::OkStatus();
}

absl::Status AttackFromProto(const v1::CrystallizeOptions& from,
                             search::CrystallizeOptions* to) {
  to->attack_steps = from.attack_step_count();
  RETURN_IF_ERROR(CheckOption(
      to->attack_steps >= 0 && to->attack_steps <= search::kMaxAttackSteps,
      "attack_step_count", to->attack_steps,
      base::Cat("[0, ", search::kMaxAttackSteps, "]")));
  if (from.has_attack_step_size()) {
    to->attack_step_size = from.attack_step_size();
  }
  RETURN_IF_ERROR(
      CheckOption(to->attack_step_size > 0 && to->attack_step_size <= 1,
                  "attack_step_size", to->attack_step_size, "(0, 1]"));
  if (from.has_attack_restart_count()) {
    to->attack_restarts = from.attack_restart_count();
  }
  return CheckOption(to->attack_restarts >= 1 &&
                         to->attack_restarts <= search::kMaxAttackRestarts,
                     "attack_restart_count", to->attack_restarts,
                     base::Cat("[1, ", search::kMaxAttackRestarts, "]"));
}

absl::Status ThresholdsFromProto(const v1::CrystallizeOptions& from,
                                 search::CrystallizeOptions* to) {
  if (from.has_tau()) to->tau = from.tau();
  RETURN_IF_ERROR(CheckWithin(to->tau, 0, 100, "tau"));
  if (from.has_precision_threshold()) {
    to->precision_threshold = from.precision_threshold();
  }
  RETURN_IF_ERROR(
      CheckWithin(to->precision_threshold, 0.5, 1, "precision_threshold"));
  if (from.has_margin_share()) to->margin_share = from.margin_share();
  RETURN_IF_ERROR(CheckWithin(to->margin_share, 0, 1, "margin_share"));
  if (from.has_contrast_threshold()) {
    to->contrast_threshold = from.contrast_threshold();
  }
  RETURN_IF_ERROR(
      CheckWithin(to->contrast_threshold, 0, 1, "contrast_threshold"));
  if (from.has_sparse_fraction()) to->sparse_fraction = from.sparse_fraction();
  return CheckOption(to->sparse_fraction > 0 && to->sparse_fraction <= 1,
                     "sparse_fraction", to->sparse_fraction, "(0, 1]");
}

}  // namespace

absl::StatusOr<Page> PageFromProto(int32_t page_size,
                                   const std::string& token) {
  if (page_size < 0) {
    return OutOfRange("PAGE_SIZE_OUT_OF_RANGE", "page_size",
                      base::Cat(page_size), "0 or more");
  }
  Page page;
  page.size = page_size == 0             ? kDefaultPageSize
              : page_size > kMaxPageSize ? kMaxPageSize
                                         : page_size;
  for (size_t i = 0; i + 1 < token.size(); i += 2) {
    const size_t high = kHexDigits.find(token[i]);
    const size_t low = kHexDigits.find(token[i + 1]);
    if (high == kHexDigits.npos || low == kHexDigits.npos) break;
    page.after.push_back(static_cast<char>(16 * high + low));
  }
  if (2 * page.after.size() != token.size() ||
      (!token.empty() && !CheckModelId(page.after).ok())) {
    return base::InvalidArgument(
        "BAD_PAGE_TOKEN", "page_token",
        base::Cat("page_token '", token, "' is none that this server gave"),
        {{"value", token}});
  }
  return page;
}

std::string PageTokenAfter(const std::string& id) {
  std::string token;
  for (const char c : id) {
    token.push_back(kHexDigits[static_cast<unsigned char>(c) >> 4]);
    token.push_back(kHexDigits[c & 15]);
  }
  return token;
}

absl::Status CheckTextSize(std::string_view text, std::string_view field) {
  if (text.size() <= kMaxTextBytes) return absl::OkStatus();
  return base::InvalidArgument(
      "TEXT_TOO_LONG", field,
      base::Cat(field, " has ", text.size(), " bytes: want at most ",
                kMaxTextBytes),
      {{"byte_count", base::Cat(text.size())},
       {"max_byte_count", base::Cat(kMaxTextBytes)}});
}

absl::StatusOr<std::vector<TokenId>> TokensFromText(
    const std::string& text,
    const models::EncodeOptions& options,
    const models::Tokenizer& tokenizer,
    std::string_view field) {
  RETURN_IF_ERROR(CheckTextSize(text, field));
  absl::StatusOr<std::vector<TokenId>> tokens = tokenizer.Encode(text, options);
  if (tokens.ok()) return tokens;
  // The tokenizer knows what is wrong, but not which field it was given.
  base::ErrorDetail detail =
      base::DetailOf(tokens.status()).value_or(base::ErrorDetail{});
  detail.field = std::string(field);
  return base::Error(tokens.status().code(),
                     base::Cat(field, ": ", base::MessageOf(tokens.status())),
                     detail);
}

absl::StatusOr<std::vector<TokenId>> AnyTokensFromProto(
    const v1::Prompt& prompt,
    const ServedModel& model,
    std::string_view field) {
  const std::string text_field = base::Cat(field, ".text");
  std::vector<TokenId> tokens;
  if (prompt.content_case() == v1::Prompt::kText) {
    const models::EncodeOptions options{
        .parse_special = !prompt.ignore_special_tokens(),
        .add_special_tokens = true};
    ASSIGN_OR_RETURN(tokens, TokensFromText(prompt.text(), options,
                                            *model.tokenizer, text_field));
  } else if (prompt.content_case() == v1::Prompt::kTokens) {
    tokens.assign(prompt.tokens().ids().begin(), prompt.tokens().ids().end());
  }
  if (tokens.empty()) {
    return base::InvalidArgument(
        "EMPTY_PROMPT", field,
        base::Cat(field, " has no tokens: want at least one"));
  }
  const int vocab_size = model.explainer->info().vocab_size;
  const bool from_text = prompt.content_case() == v1::Prompt::kText;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && tokens[i] < vocab_size) continue;
    return models::CheckToken(
        tokens[i], vocab_size,
        from_text ? text_field : base::Cat(field, ".tokens.ids[", i, "]"));
  }
  return tokens;
}

absl::StatusOr<std::vector<TokenId>> TokensFromProto(const v1::Prompt& prompt,
                                                     const ServedModel& model,
                                                     std::string_view field) {
  ASSIGN_OR_RETURN(std::vector<TokenId> tokens,
                   AnyTokensFromProto(prompt, model, field));
  const models::ModelInfo& info = model.explainer->info();
  if (tokens.size() <= static_cast<size_t>(info.context_length)) return tokens;
  return base::InvalidArgument(
      "PROMPT_TOO_LONG", field,
      base::Cat(field, " has ", tokens.size(), " tokens: ",
                model.ResourceName(), " reads at most ", info.context_length),
      {{"token_count", base::Cat(tokens.size())},
       {"model", model.ResourceName()},
       {"context_length", base::Cat(info.context_length)}});
}

absl::StatusOr<int> TopKFromProto(const v1::PredictRequest& request,
                                  size_t num_tokens) {
  const int top_k = request.top_k() == 0 ? kDefaultTopK : request.top_k();
  if (top_k < 0 || top_k > kMaxTopK) {
    return OutOfRange("TOP_K_OUT_OF_RANGE", "top_k", base::Cat(top_k),
                      base::Cat("[0, ", kMaxTopK, "]"));
  }
  const size_t positions = request.every_position() ? num_tokens : 1;
  if (positions * static_cast<size_t>(top_k) > kMaxTokenScores) {
    return OutOfRange("TOP_K_OUT_OF_RANGE", "top_k", base::Cat(top_k),
                      base::Cat("at most ", kMaxTokenScores, " tokens in ",
                                positions, " positions together"));
  }
  return top_k;
}

absl::StatusOr<search::CrystallizeOptions> OptionsFromProto(
    const v1::CrystallizeOptions& from) {
  search::CrystallizeOptions to;
  ASSIGN_OR_RETURN(to.mode, EnumFromProto(kModes, from.mode(), "options.mode"));
  ASSIGN_OR_RETURN(to.scheme, EnumFromProto(kSchemes, from.unit_scheme(),
                                            "options.unit_scheme"));
  ASSIGN_OR_RETURN(to.reference, EnumFromProto(kReferences, from.reference(),
                                               "options.reference"));
  ASSIGN_OR_RETURN(to.position_mode,
                   EnumFromProto(kPositionModes, from.position_mode(),
                                 "options.position_mode"));
  to.decomposition = from.decomposition();
  to.pin_first = from.pin_first();
  RETURN_IF_ERROR(ThresholdsFromProto(from, &to));
  RETURN_IF_ERROR(AttackFromProto(from, &to));
  RETURN_IF_ERROR(BudgetsFromProto(from, &to));
  return to;
}

absl::StatusOr<search::Question> QuestionFromProto(
    const v1::CrystallizeRequest& request, const ServedModel& model) {
  search::Question question;
  ASSIGN_OR_RETURN(question.tokens, TokensFromProto(request.prompt(), model));
  ASSIGN_OR_RETURN(question.target, TargetFromProto(request, model));
  ASSIGN_OR_RETURN(question.options, OptionsFromProto(request.options()));
  const auto& initial = request.options().initial_unit_ids();
  if (!initial.empty()) {
    question.initial_units.emplace(initial.begin(), initial.end());
  }
  return question;
}

}  // namespace spar::service
