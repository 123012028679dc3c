// L1, tokenizers. The tokens of a model by id and by text.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "models/row.h"
#include "models/text/json_reader.h"

namespace spar::models::text {

// Ids are below this: larger ones in a file are a mistake or an attack on the
// table's memory. The largest vocabularies in use have about 260,000 tokens.
inline constexpr int kMaxTokenId = 1 << 22;

// Immutable after loading. Ids may have holes.
class Vocabulary {
 public:
  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;

  // From {"token": id, ...}. BAD_TOKENIZER for ids that are negative, too
  // large, or given twice.
  static absl::StatusOr<Vocabulary> Read(const Json& value, const Place& place);

  std::optional<TokenId> IdOf(std::string_view token) const;
  // Null when no token has this id.
  const std::string* TokenOf(TokenId id) const;

  // How many tokens there are; holes do not count.
  int num_tokens() const { return static_cast<int>(ids_.size()); }
  // One more than the largest id.
  int size() const { return static_cast<int>(tokens_.size()); }

 private:
  std::vector<std::string> tokens_;
  std::vector<bool> present_;
  absl::flat_hash_map<absl::string_view, TokenId> ids_;  // views of tokens_
};

}  // namespace spar::models::text
