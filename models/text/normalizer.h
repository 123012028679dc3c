// L1, tokenizers. What happens to a text before it is cut into words.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "models/text/json_reader.h"

namespace spar::models::text {

// Immutable, thread-safe.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // `text` is and stays valid UTF-8. kInvalidArgument PATTERN_TOO_SLOW.
  virtual absl::Status Apply(std::string* text) const = 0;
};

// The "normalizer" of a tokenizer.json: NFC, NFD, NFKC, NFKD, Lowercase,
// Prepend, Replace, Strip, Sequence. BAD_TOKENIZER for others.
absl::StatusOr<std::unique_ptr<Normalizer>> ReadNormalizer(const Json& value,
                                                           const Place& place);

// Unicode normal form C, for tokenizers that have no tokenizer.json.
std::unique_ptr<Normalizer> MakeNfc();

}  // namespace spar::models::text
