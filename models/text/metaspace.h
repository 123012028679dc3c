// L1, tokenizers. SentencePiece's way with spaces: each is written as a visible
// character, and one more may be put before the text.
#pragma once

#include <memory>

#include "absl/status/statusor.h"

#include "models/text/decoder.h"
#include "models/text/json_reader.h"
#include "models/text/pre_tokenizer.h"

namespace spar::models::text {

// {"type": "Metaspace", "replacement", "prepend_scheme", "split"} and the older
// "add_prefix_space" and "str_rep", as a pre-tokenizer and as a decoder.
absl::StatusOr<std::unique_ptr<PreTokenizer>> ReadMetaspacePreTokenizer(
    const JsonObject& object);
absl::StatusOr<std::unique_ptr<Decoder>> ReadMetaspaceDecoder(
    const JsonObject& object);

}  // namespace spar::models::text
