// L1, tokenizers. The post-processors of tokenizer.json.
#include "models/text/post_processor.h"

#include <string>
#include <utility>

#include "base/status.h"

namespace spar::models::text {
namespace {

// The ids that special_tokens gives for `name`.
absl::StatusOr<std::vector<TokenId>> SpecialIds(const JsonObject& object,
                                                const std::string& name,
                                                int vocab_size) {
  ASSIGN_OR_RETURN(const Json* table, object.Need("special_tokens"));
  const Place place = object.place().Member("special_tokens");
  ASSIGN_OR_RETURN(const JsonObject tokens, JsonObject::Of(*table, place));
  ASSIGN_OR_RETURN(const Json* entry_value, tokens.Need(name));
  ASSIGN_OR_RETURN(const JsonObject entry,
                   JsonObject::Of(*entry_value, place.Member(name)));
  ASSIGN_OR_RETURN(const Json* array, entry.Array("ids"));
  std::vector<TokenId> ids;
  for (size_t i = 0; i < array->size(); ++i) {
    ASSIGN_OR_RETURN(const int id,
                     IndexOf((*array)[i], vocab_size,
                             entry.place().Member("ids").Element(i)));
    ids.push_back(id);
  }
  return ids;
}

absl::StatusOr<PostProcessor> ReadTemplate(const JsonObject& object,
                                           int vocab_size) {
  RETURN_IF_ERROR(object.OnlyHas({"type", "single", "pair", "special_tokens"}));
  ASSIGN_OR_RETURN(const Json* single, object.Array("single"));
  const Place place = object.place().Member("single");
  PostProcessor processor;
  int texts = 0;
  for (size_t i = 0; i < single->size(); ++i) {
    ASSIGN_OR_RETURN(const JsonObject part,
                     JsonObject::Of((*single)[i], place.Element(i)));
    RETURN_IF_ERROR(part.OnlyHas({"Sequence", "SpecialToken"}));
    const Json* text = part.Find("Sequence");
    if (text != nullptr) {
      ++texts;
      ASSIGN_OR_RETURN(const JsonObject of,
                       JsonObject::Of(*text, part.place()));
      ASSIGN_OR_RETURN(const std::string id, of.String("id"));
      if (id != "A") return BadTokenizer(of.place(), "want the text A");
      continue;
    }
    ASSIGN_OR_RETURN(const Json* token_value, part.Need("SpecialToken"));
    ASSIGN_OR_RETURN(const JsonObject token,
                     JsonObject::Of(*token_value, part.place()));
    ASSIGN_OR_RETURN(const std::string name, token.String("id"));
    ASSIGN_OR_RETURN(const std::vector<TokenId> ids,
                     SpecialIds(object, name, vocab_size));
    std::vector<TokenId>& side =
        texts == 0 ? processor.before : processor.after;
    side.insert(side.end(), ids.begin(), ids.end());
  }
  if (texts == 1) return processor;
  return BadTokenizer(
      place, base::Cat("the text occurs ", texts, " times: want once"));
}

// ["[SEP]", 102] gives 102.
absl::StatusOr<TokenId> ReadTokenPair(const JsonObject& object,
                                      std::string_view name,
                                      int vocab_size) {
  ASSIGN_OR_RETURN(const Json* pair, object.Need(name));
  const Place place = object.place().Member(name);
  if (!pair->is_array() || pair->size() != 2) {
    return BadTokenizer(place, "want [token, id]");
  }
  return IndexOf((*pair)[1], vocab_size, place.Element(1));
}

absl::StatusOr<PostProcessor> ReadClassification(const JsonObject& object,
                                                 int vocab_size) {
  RETURN_IF_ERROR(object.OnlyHas(
      {"type", "sep", "cls", "trim_offsets", "add_prefix_space"}));
  ASSIGN_OR_RETURN(const TokenId sep, ReadTokenPair(object, "sep", vocab_size));
  ASSIGN_OR_RETURN(const TokenId cls, ReadTokenPair(object, "cls", vocab_size));
  return PostProcessor{.before = {cls}, .after = {sep}};
}

absl::StatusOr<PostProcessor> ReadSequence(const JsonObject& object,
                                           int vocab_size) {
  RETURN_IF_ERROR(object.OnlyHas({"type", "processors"}));
  ASSIGN_OR_RETURN(const Json* array, object.Array("processors"));
  const Place place = object.place().Member("processors");
  PostProcessor all;
  for (size_t i = 0; i < array->size(); ++i) {
    ASSIGN_OR_RETURN(
        const PostProcessor part,
        ReadPostProcessor((*array)[i], vocab_size, place.Element(i)));
    all.before.insert(all.before.begin(), part.before.begin(),
                      part.before.end());
    all.after.insert(all.after.end(), part.after.begin(), part.after.end());
  }
  return all;
}

}  // namespace

absl::StatusOr<PostProcessor> ReadPostProcessor(const Json& value,
                                                int vocab_size,
                                                const Place& place) {
  ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Of(value, place));
  ASSIGN_OR_RETURN(const std::string type, object.String("type"));
  if (type == "Sequence") return ReadSequence(object, vocab_size);
  if (type == "TemplateProcessing") return ReadTemplate(object, vocab_size);
  if (type == "RobertaProcessing" || type == "BertProcessing") {
    return ReadClassification(object, vocab_size);
  }
  if (type == "ByteLevel") {  // changes offsets, not ids
    RETURN_IF_ERROR(object.OnlyHas(
        {"type", "add_prefix_space", "trim_offsets", "use_regex"}));
    return PostProcessor();
  }
  return BadTokenizer(
      place.Member("type"),
      base::Cat("\"", type,
                "\" is a post-processor this server does not know"));
}

}  // namespace spar::models::text
