// L5. Requests to plain values: everything a client sent is checked here.
//
// Every error is kInvalidArgument with the reason and the field's path.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "server/search/explanation.h"
#include "server/service/model_registry.h"
#include "spar/v1/explanation_service.pb.h"
#include "spar/v1/model_service.pb.h"

namespace spar::service {

// A page of a list.
struct Page {
  size_t size = 0;
  std::string after =
      {};  // the last id of the former page; empty: from the top
};

// PAGE_SIZE_OUT_OF_RANGE, BAD_PAGE_TOKEN.
absl::StatusOr<Page> PageFromProto(int32_t page_size,
                                   const std::string& page_token);
// The opaque page token whose page begins after `id`.
std::string PageTokenAfter(const std::string& id);

// TEXT_TOO_LONG. `field` names the text.
absl::Status CheckTextSize(std::string_view text, std::string_view field);

// TEXT_TOO_LONG, UNENCODABLE_TEXT. `field` names the text.
absl::StatusOr<std::vector<models::TokenId>> TokensFromText(
    const std::string& text,
    const models::EncodeOptions& options,
    const models::Tokenizer& tokenizer,
    std::string_view field);

// At least one token, each known to the model, no more than its context.
// EMPTY_PROMPT, PROMPT_TOO_LONG, TOKEN_OUT_OF_RANGE and TokensFromText's.
// `field` is the prompt's path.
absl::StatusOr<std::vector<models::TokenId>> TokensFromProto(
    const v1::Prompt& prompt,
    const ServedModel& model,
    std::string_view field = "prompt");

// The same of any length: no PROMPT_TOO_LONG.
absl::StatusOr<std::vector<models::TokenId>> AnyTokensFromProto(
    const v1::Prompt& prompt, const ServedModel& model, std::string_view field);

// TOP_K_OUT_OF_RANGE, also where `num_tokens` positions would make the answer
// too large.
absl::StatusOr<int> TopKFromProto(const v1::PredictRequest& request,
                                  size_t num_tokens);

// OPTION_OUT_OF_RANGE.
absl::StatusOr<search::CrystallizeOptions> OptionsFromProto(
    const v1::CrystallizeOptions& options);

// The errors of the parts, and NOT_ONE_TOKEN.
absl::StatusOr<search::Question> QuestionFromProto(
    const v1::CrystallizeRequest& request, const ServedModel& model);

}  // namespace spar::service
