// L1, tokenizers. WordLevel, and the choice of the model.
#include "models/text/token_model.h"

#include <optional>
#include <string>
#include <utility>

#include "base/status.h"
#include "models/text/bpe.h"
#include "models/text/utf8.h"

namespace spar::models::text {
namespace {

class WordLevel final : public TokenModel {
 public:
  WordLevel(Vocabulary vocabulary, std::optional<TokenId> unknown)
      : vocabulary_(std::move(vocabulary)), unknown_(unknown) {}

  absl::Status Encode(std::span<const Piece> words,
                      std::vector<TokenId>* ids) const override {
    for (const Piece& word : words) {
      std::optional<TokenId> id = vocabulary_.IdOf(word.text);
      if (!id) id = unknown_;
      if (!id) return Unencodable(word.text);
      ids->push_back(*id);
    }
    return absl::OkStatus();
  }
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  const Vocabulary vocabulary_;
  const std::optional<TokenId> unknown_;
};

absl::StatusOr<std::unique_ptr<TokenModel>> ReadWordLevel(
    const JsonObject& object) {
  RETURN_IF_ERROR(object.OnlyHas({"type", "vocab", "unk_token"}));
  ASSIGN_OR_RETURN(const Json* vocab, object.Need("vocab"));
  ASSIGN_OR_RETURN(Vocabulary vocabulary,
                   Vocabulary::Read(*vocab, object.place().Member("vocab")));
  ASSIGN_OR_RETURN(const std::string unknown, object.String("unk_token"));
  const std::optional<TokenId> unknown_id = vocabulary.IdOf(unknown);
  return std::unique_ptr<TokenModel>(
      std::make_unique<WordLevel>(std::move(vocabulary), unknown_id));
}

}  // namespace

absl::StatusOr<std::unique_ptr<TokenModel>> ReadTokenModel(const Json& value,
                                                           const Place& place) {
  ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Of(value, place));
  ASSIGN_OR_RETURN(auto type, object.OptionalString("type"));
  // Old files do not say; only BPE has merges.
  if (!type && object.Find("merges") != nullptr) type = "BPE";
  if (type == "BPE") return ReadBpe(object);
  if (type == "WordLevel") return ReadWordLevel(object);
  return BadTokenizer(
      place.Member("type"),
      base::Cat("\"", type.value_or(""),
                "\" is a model this server does not know: want BPE or "
                "WordLevel"));
}

absl::Status Unencodable(std::string_view part) {
  constexpr size_t kShown = 40;
  std::string shown = EscapeInvalidUtf8(part.substr(0, kShown));
  if (part.size() > kShown) shown += "...";
  return base::InvalidArgument("UNENCODABLE_TEXT", "",
                               base::Cat("the vocabulary has no token for \"",
                                         shown, "\" and no unknown token"),
                               {{"piece", shown}});
}

}  // namespace spar::models::text
