#include "tests/service/word_tokenizer.h"

#include <charconv>
#include <sstream>

#include "base/status.h"

namespace spar::testing {
namespace {

using models::TokenId;

class WordTokenizer final : public models::Tokenizer {
 public:
  explicit WordTokenizer(int vocab_size) : vocab_size_(vocab_size) {}

  absl::StatusOr<std::vector<TokenId>> Encode(
      std::string_view text,
      const models::EncodeOptions& options) const override {
    std::istringstream words{std::string(text)};
    std::vector<TokenId> tokens;
    std::string word;
    while (words >> word) {
      TokenId token = -1;
      if (word[0] == 't') {
        std::from_chars(word.data() + 1, word.data() + word.size(), token);
      } else if (word == "<end>" && options.parse_special) {
        token = 0;
      }
      if (token < 0) {
        return base::InvalidArgument("UNENCODABLE_TEXT", "",
                                     base::Cat("no token for '", word, "'"),
                                     {{"piece", word}});
      }
      tokens.push_back(token);
    }
    return tokens;
  }

  std::string Decode(std::span<const TokenId> tokens,
                     bool /*skip_special*/) const override {
    std::string text;
    for (const TokenId token : tokens) text += TokenText(token) + " ";
    return text;
  }

  std::string TokenText(TokenId token) const override {
    if (token < 0 || token >= vocab_size_) return "";
    return base::Cat("t", token);
  }

  int vocab_size() const override { return vocab_size_; }
  bool IsSpecial(TokenId token) const override { return token == 0; }

 private:
  const int vocab_size_;
};

}  // namespace

std::unique_ptr<models::Tokenizer> MakeWordTokenizer(int vocab_size) {
  return std::make_unique<WordTokenizer>(vocab_size);
}

}  // namespace spar::testing
