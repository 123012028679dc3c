// L1, tokenizers. The one implementation of Tokenizer: the stages of Hugging
// Face's library, in its order.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "models/text/added_tokens.h"
#include "models/text/decoder.h"
#include "models/text/normalizer.h"
#include "models/text/post_processor.h"
#include "models/text/pre_tokenizer.h"
#include "models/text/token_model.h"
#include "models/text/tokenizer.h"

namespace spar::models::text {

struct Stages {
  AddedTokens added = {};
  std::unique_ptr<Normalizer> normalizer = nullptr;       // may be null
  std::unique_ptr<PreTokenizer> pre_tokenizer = nullptr;  // may be null
  std::unique_ptr<TokenModel> model = nullptr;            // never null
  PostProcessor post_processor = {};
  std::unique_ptr<Decoder> decoder = nullptr;  // null: joined by spaces
};

std::unique_ptr<Tokenizer> MakePipeline(Stages stages);

// From a tokenizer.json, already parsed. BAD_TOKENIZER.
absl::StatusOr<std::unique_ptr<Tokenizer>> ReadTokenizerJson(
    const Json& value, const Place& place);

}  // namespace spar::models::text
