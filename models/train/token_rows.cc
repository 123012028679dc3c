#include "models/train/token_rows.h"

#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>

#include "base/splitmix64.h"
#include "base/status.h"

namespace spar::models {
namespace {

using base::Cat;
namespace fs = std::filesystem;

constexpr size_t kPieceBytes = size_t{64} << 10;
constexpr int kRounds = 4;

absl::Status BadData(const fs::path& file, const std::string& message) {
  return base::Error(
      absl::StatusCode::kInvalidArgument, Cat(file.string(), ": ", message),
      {.reason = "BAD_DATA", .metadata = {{"file", file.string()}}});
}

absl::StatusOr<std::string> ReadFile(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(stream)),
                    std::istreambuf_iterator<char>());
  if (!stream.is_open() || stream.bad()) {
    return base::Error(absl::StatusCode::kNotFound,
                       Cat("cannot read ", file.string()),
                       {.reason = "BAD_DATA"});
  }
  return bytes;
}

class Shuffled final : public TokenRows {
 public:
  Shuffled(std::vector<TokenId> tokens, int length, uint64_t seed)
      : tokens_(std::move(tokens)),
        length_(length),
        rows_(static_cast<int64_t>(tokens_.size()) / length),
        seed_(seed) {}

  std::vector<TokenId> Row(int64_t index) const override {
    const uint64_t pass =
        base::SplitMix64(seed_) + static_cast<uint64_t>(index / rows_);
    const auto row =
        tokens_.begin() +
        Permuted(index % rows_, rows_, base::SplitMix64(pass)) * length_;
    return {row, row + length_};
  }

 private:
  const std::vector<TokenId> tokens_;
  const int64_t length_;
  const int64_t rows_;
  const uint64_t seed_;
};

}  // namespace

int64_t Permuted(int64_t index, int64_t count, uint64_t key) {
  int half = 1;  // bits
  while ((int64_t{1} << (2 * half)) < count) ++half;
  const uint64_t mask = (uint64_t{1} << half) - 1;
  uint64_t place = static_cast<uint64_t>(index);
  do {
    uint64_t left = place >> half, right = place & mask;
    for (int round = 0; round < kRounds; ++round) {
      const uint64_t mixed = base::SplitMix64(
          base::SplitMix64(key + static_cast<uint64_t>(round)) ^ right);
      left = std::exchange(right, left ^ (mixed & mask));
    }
    place = left << half | right;
  } while (place >= static_cast<uint64_t>(count));
  return static_cast<int64_t>(place);
}

absl::StatusOr<std::unique_ptr<TokenRows>> ShuffledRows(
    std::vector<TokenId> tokens, int length, uint64_t seed) {
  if (tokens.size() < static_cast<size_t>(length)) {
    return base::InvalidArgument(
        "BAD_DATA", "task_config.max_seq_len",
        Cat("the data has ", tokens.size(), " tokens, a row ", length));
  }
  return std::make_unique<Shuffled>(std::move(tokens), length, seed);
}

absl::StatusOr<std::vector<TokenId>> ReadTokenFile(const fs::path& file,
                                                   int bytes,
                                                   int vocab_size) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  if (text.size() % static_cast<size_t>(bytes) != 0) {
    return BadData(file,
                   Cat("has ", text.size(), " bytes, no multiple of ", bytes));
  }
  std::vector<TokenId> tokens;
  tokens.reserve(text.size() / static_cast<size_t>(bytes));
  for (size_t at = 0; at < text.size(); at += static_cast<size_t>(bytes)) {
    uint32_t id = 0;
    for (int b = bytes - 1; b >= 0; --b) {
      id = id << 8 | static_cast<unsigned char>(text[at + b]);
    }
    if (id >= static_cast<uint32_t>(vocab_size)) {
      return BadData(file, Cat("token ", tokens.size(), " is ", id,
                               ", outside the vocabulary of ", vocab_size));
    }
    tokens.push_back(static_cast<TokenId>(id));
  }
  return tokens;
}

absl::StatusOr<std::vector<TokenId>> ReadTextFile(const fs::path& file,
                                                  const Tokenizer& tokenizer) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  const EncodeOptions options{.add_special_tokens = false};
  std::vector<TokenId> tokens;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t line = rest.find('\n', std::min(kPieceBytes, rest.size()));
    const std::string_view piece =
        rest.substr(0, line == rest.npos ? rest.size() : line + 1);
    rest.remove_prefix(piece.size());
    const absl::StatusOr<std::vector<TokenId>> some =
        tokenizer.Encode(piece, options);
    if (!some.ok()) return base::Annotate(some.status(), file.string());
    tokens.insert(tokens.end(), some->begin(), some->end());
  }
  return tokens;
}

}  // namespace spar::models
