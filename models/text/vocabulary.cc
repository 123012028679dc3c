// L1, tokenizers. The tokens of a model by id and by text.
#include "models/text/vocabulary.h"

#include <algorithm>

#include "base/status.h"

namespace spar::models::text {

absl::StatusOr<Vocabulary> Vocabulary::Read(const Json& value,
                                            const Place& place) {
  if (!value.is_object()) return BadTokenizer(place, "want an object");
  Vocabulary vocabulary;
  for (const auto& item : value.items()) {
    ASSIGN_OR_RETURN(const int id, IndexOf(item.value(), kMaxTokenId,
                                           place.Member(item.key())));
    if (id >= vocabulary.size()) {
      vocabulary.tokens_.resize(id + 1);
      vocabulary.present_.resize(id + 1, false);
    }
    if (vocabulary.present_[id]) {
      return BadTokenizer(
          place,
          base::Cat("id ", id, " belongs to \"", vocabulary.tokens_[id],
                    "\" and to \"", item.key(), "\""),
          {{"id", base::Cat(id)}});
    }
    vocabulary.tokens_[id] = item.key();
    vocabulary.present_[id] = true;
  }
  vocabulary.ids_.reserve(value.size());
  for (int id = 0; id < vocabulary.size(); ++id) {
    if (vocabulary.present_[id]) vocabulary.ids_[vocabulary.tokens_[id]] = id;
  }
  return vocabulary;
}

std::optional<TokenId> Vocabulary::IdOf(std::string_view token) const {
  const auto found = ids_.find(base::AbslView(token));
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

const std::string* Vocabulary::TokenOf(TokenId id) const {
  if (id < 0 || id >= size() || !present_[id]) return nullptr;
  return &tokens_[id];
}

}  // namespace spar::models::text
