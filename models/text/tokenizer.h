// L1. Text to token ids and back, exactly as Hugging Face `tokenizers` does it.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "models/row.h"

namespace spar::models {

struct EncodeOptions {
  // Recognise special tokens inside the text, as `tokenizers` does by default.
  bool parse_special = true;
  // Apply the post-processor's template (for example a leading BOS), as
  // `tokenizers` does by default.
  bool add_special_tokens = true;
};

// Immutable. Thread-safe.
class Tokenizer {
 public:
  // Reads tokenizer.json, else vocab.json + merges.txt. kNotFound when the
  // folder has neither; kInvalidArgument BAD_TOKENIZER with the file, the field
  // and the numbers otherwise.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Open(
      const std::filesystem::path& folder);

  virtual ~Tokenizer() = default;

  // Invalid UTF-8 is replaced by U+FFFD as Python's errors="replace" does.
  // Linear time in the text's length but for a logarithm.
  // kInvalidArgument UNENCODABLE_TEXT when the vocabulary has no token for a
  // piece and no unknown token.
  virtual absl::StatusOr<std::vector<TokenId>> Encode(
      std::string_view text, const EncodeOptions& options) const = 0;

  // Ids outside [0, vocab_size) are skipped. May hold invalid UTF-8 where the
  // tokens are parts of characters, which become U+FFFD.
  virtual std::string Decode(std::span<const TokenId> tokens,
                             bool skip_special) const = 0;

  // How one token reads in a prompt, for people: its decoded bytes, invalid
  // UTF-8 as \xNN. Empty for ids that name no token.
  virtual std::string TokenText(TokenId token) const = 0;

  // One more than the largest id.
  virtual int vocab_size() const = 0;
  virtual bool IsSpecial(TokenId token) const = 0;
};

}  // namespace spar::models
