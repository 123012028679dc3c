// L1, tokenizers. The model of a tokenizer: from words to ids.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

#include "models/row.h"
#include "models/text/json_reader.h"
#include "models/text/pre_tokenizer.h"
#include "models/text/vocabulary.h"

namespace spar::models::text {

// Immutable, thread-safe.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  // Appends the ids of `words`, in order. kInvalidArgument UNENCODABLE_TEXT
  // when the vocabulary has neither a token for a part of a word nor an unknown
  // token.
  virtual absl::Status Encode(std::span<const Piece> words,
                              std::vector<TokenId>* ids) const = 0;
  virtual const Vocabulary& vocabulary() const = 0;
};

// The "model" of a tokenizer.json: BPE or WordLevel. BAD_TOKENIZER for others.
absl::StatusOr<std::unique_ptr<TokenModel>> ReadTokenModel(const Json& value,
                                                           const Place& place);

// kInvalidArgument UNENCODABLE_TEXT about `part`.
absl::Status Unencodable(std::string_view part);

}  // namespace spar::models::text
