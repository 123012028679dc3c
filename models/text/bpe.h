// L1, tokenizers. Byte-pair encoding: merge the pair of best rank, leftmost
// first, until none is left. n log n for a word of n characters.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

#include "models/text/token_model.h"

namespace spar::models::text {

struct BpeOptions {
  std::optional<std::string> unknown_token = std::nullopt;
  std::string continuing_prefix = {};  // of every character but a word's first
  std::string end_suffix = {};         // of a word's last character
  bool fuse_unknown = false;           // neighbouring unknowns become one
  bool byte_fallback = false;          // unknown characters as <0xNN> tokens
  bool ignore_merges = false;          // a word that is a token stays whole
};

using MergePair = std::pair<std::string, std::string>;

// From the fields of a tokenizer.json's BPE model. BAD_TOKENIZER; a dropout
// other than 0 is refused, for its ids are random.
absl::StatusOr<std::unique_ptr<TokenModel>> ReadBpe(const JsonObject& object);

// `merges` in order of rank; BAD_TOKENIZER at `merges_place` for those that
// name or make unknown tokens.
absl::StatusOr<std::unique_ptr<TokenModel>> MakeBpe(
    Vocabulary vocabulary,
    const std::vector<MergePair>& merges,
    BpeOptions options,
    const Place& merges_place);

// "a b" as a pair; nothing when it is not two words.
std::optional<MergePair> SplitMerge(std::string_view line);

}  // namespace spar::models::text
