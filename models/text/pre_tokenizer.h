// L1, tokenizers. Cutting a text into the words that the model sees one by one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "models/text/json_reader.h"
#include "models/text/pattern.h"

namespace spar::models::text {

struct Piece {
  std::string text = {};
  bool first = false;  // starts where the whole text starts
};

// Immutable, thread-safe.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Cuts every piece further. Pieces are valid UTF-8 and never empty.
  // kInvalidArgument PATTERN_TOO_SLOW.
  virtual absl::Status Apply(std::vector<Piece>* pieces) const = 0;
};

// The "pre_tokenizer" of a tokenizer.json: ByteLevel, Split, Metaspace,
// Whitespace, WhitespaceSplit, Digits, Punctuation, Sequence. BAD_TOKENIZER for
// others.
absl::StatusOr<std::unique_ptr<PreTokenizer>> ReadPreTokenizer(
    const Json& value, const Place& place);

// GPT-2's, for tokenizers that have no tokenizer.json.
std::unique_ptr<PreTokenizer> MakeByteLevel(bool add_prefix_space);
// Cuts by `pattern`, every match a piece, then writes bytes as GPT-2 does.
std::unique_ptr<PreTokenizer> MakeSplitThenByteLevel(Pattern pattern);

}  // namespace spar::models::text
