// L1. Rows of tokens to train on, in an order that is a function of the seed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "models/row.h"
#include "models/text/tokenizer.h"

namespace spar::models {

// An endless order of rows of one length. Immutable. Thread-safe.
class TokenRows {
 public:
  virtual ~TokenRows() = default;

  virtual std::vector<TokenId> Row(int64_t index) const = 0;
};

// Cuts `tokens` into rows of `length`, dropping what is left over, and gives
// them in an order that is drawn anew for each pass. kInvalidArgument BAD_DATA
// where there is no whole row.
absl::StatusOr<std::unique_ptr<TokenRows>> ShuffledRows(
    std::vector<TokenId> tokens, int length, uint64_t seed);

// Token ids of a file, little-endian, `bytes` (2 or 4) each.
//   kNotFound         cannot be read
//   kInvalidArgument  BAD_DATA: of another size, or an id outside the
//                     vocabulary, with its place
absl::StatusOr<std::vector<TokenId>> ReadTokenFile(
    const std::filesystem::path& file, int bytes, int vocab_size);

// The tokens of a UTF-8 text file, without special tokens around them; it is
// encoded in pieces of some 64 KiB that end with lines. Errors as above and the
// tokenizer's.
absl::StatusOr<std::vector<TokenId>> ReadTextFile(
    const std::filesystem::path& file, const Tokenizer& tokenizer);

// The place of `index` in a permutation of [0, count) that `key` draws: a
// Feistel network over the next power of four, walked until it is inside.
int64_t Permuted(int64_t index, int64_t count, uint64_t key);

}  // namespace spar::models
