// L1, tokenizers. Tokens that are recognised in the text itself, before it is
// cut into words: special ones like <|endoftext|>, and others.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

#include "models/row.h"
#include "models/text/json_reader.h"
#include "models/text/normalizer.h"
#include "models/text/vocabulary.h"

namespace spar::models::text {

struct AddedToken {
  TokenId id = 0;
  std::string content = {};
  bool special = false;      // skipped by Decode, if it is asked to
  bool single_word = false;  // not next to a word character
  bool lstrip = false;       // takes the spaces before it along
  bool rstrip = false;
  bool normalized = false;  // looked for in the normalized text
  std::string text = {};    // what it decodes to; set by AddedTokens
};

// A stretch of a text: an added token, or text between two.
struct Segment {
  std::optional<TokenId> token = std::nullopt;
  size_t begin = 0;
  size_t end = 0;
};

// Finds the leftmost, longest of several strings. Immutable, thread-safe.
class TokenFinder {
 public:
  void Add(std::string_view content, const AddedToken& token);
  // Cuts `text`, without gaps or empty stretches. Time is linear in the text,
  // times the longest token (at most 1,024 bytes) at worst.
  std::vector<Segment> Cut(std::string_view text, bool parse_special) const;

 private:
  struct Match {
    size_t size = 0;
    const AddedToken* token = nullptr;
  };
  std::optional<Match> LongestAt(std::string_view text, size_t at) const;

  // A trie: nodes are numbered, edges are (node, byte) -> node.
  absl::flat_hash_map<uint64_t, int> edges_;
  std::vector<int> token_at_node_ = {-1};  // index of tokens_, -1: none
  std::vector<bool> starts_ = std::vector<bool>(256, false);
  std::vector<AddedToken> tokens_;
};

// Immutable, thread-safe.
class AddedTokens {
 public:
  // `normalizer` may be null. BAD_TOKENIZER for ids that are out of range,
  // contradict the vocabulary or each other.
  static absl::StatusOr<AddedTokens> Make(const std::vector<AddedToken>& tokens,
                                          const Vocabulary& vocabulary,
                                          const Normalizer* normalizer,
                                          const Place& place);

  const TokenFinder& raw() const { return raw_; }
  const TokenFinder& normalized() const { return normalized_; }

  // Null when the id is not an added token's.
  const AddedToken* Find(TokenId id) const;
  // One more than the largest id, 0 without tokens.
  int size() const;

 private:
  // Registers a token under its id after checking both.
  absl::Status AddId(const AddedToken& token,
                     const Vocabulary& vocabulary,
                     const Place& place);

  std::map<TokenId, AddedToken> by_id_;
  std::set<std::string> contents_;
  TokenFinder raw_;         // of the tokens that are not normalized
  TokenFinder normalized_;  // of those that are
};

// The "added_tokens" of a tokenizer.json.
absl::StatusOr<std::vector<AddedToken>> ReadAddedTokens(const Json& value,
                                                        const Place& place);
// One of them; the id is given apart where `object` has none.
absl::StatusOr<AddedToken> ReadAddedToken(const JsonObject& object,
                                          std::optional<TokenId> id);

}  // namespace spar::models::text
