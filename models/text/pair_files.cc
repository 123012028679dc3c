// L1, tokenizers. vocab.json and merges.txt.
#include "models/text/pair_files.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "models/text/bpe.h"
#include "models/text/pipeline.h"

namespace spar::models::text {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kQwen2Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kEndOfText = "<|endoftext|>";

// Collects special tokens from the files that may name them; the first to name
// one decides its flags.
class SpecialTokens {
 public:
  explicit SpecialTokens(const Vocabulary* vocabulary)
      : vocabulary_(vocabulary) {}

  const std::vector<AddedToken>& tokens() const { return tokens_; }

  // In the order of their ids, as the library adds them.
  std::vector<AddedToken> Sorted() const {
    std::vector<AddedToken> sorted = tokens_;
    std::sort(sorted.begin(), sorted.end(),
              [](const auto& a, const auto& b) { return a.id < b.id; });
    return sorted;
  }

  void Add(AddedToken token) {
    for (const AddedToken& known : tokens_) {
      if (known.content == token.content) return;
    }
    tokens_.push_back(std::move(token));
  }

  // {"id": {...}} of tokenizer_config.json.
  absl::Status ReadDecoderTable(const JsonObject& config) {
    const Json* table = config.Find("added_tokens_decoder");
    if (table == nullptr) return absl::OkStatus();
    const Place place = config.place().Member("added_tokens_decoder");
    if (!table->is_object()) return BadTokenizer(place, "want an object");
    std::map<TokenId, AddedToken> in_order;
    for (const auto& item : table->items()) {
      const Place at = place.Member(item.key());
      ASSIGN_OR_RETURN(const TokenId id, KeyAsId(item.key(), at));
      ASSIGN_OR_RETURN(const JsonObject object,
                       JsonObject::Of(item.value(), at));
      ASSIGN_OR_RETURN(in_order[id], ReadAddedToken(object, id));
    }
    for (auto& [id, token] : in_order) Add(std::move(token));
    return absl::OkStatus();
  }

  // {"token": id} of added_tokens.json.
  absl::Status ReadIdTable(const Json& table, const Place& place) {
    if (!table.is_object()) return BadTokenizer(place, "want an object");
    for (const auto& item : table.items()) {
      ASSIGN_OR_RETURN(const int id, IndexOf(item.value(), kMaxTokenId,
                                             place.Member(item.key())));
      Add({.id = id, .content = item.key(), .special = true});
    }
    return absl::OkStatus();
  }

  // "eos_token": "<|endoftext|>" or {"content": ...}, where the id is known.
  absl::Status ReadNames(const JsonObject& object) {
    for (const std::string_view name :
         {"bos_token", "eos_token", "unk_token", "pad_token"}) {
      const Json* value = object.Find(name);
      if (value == nullptr) continue;
      RETURN_IF_ERROR(ReadName(*value, object.place().Member(name)));
    }
    const Json* more = object.Find("additional_special_tokens");
    if (more == nullptr || !more->is_array()) return absl::OkStatus();
    const Place place = object.place().Member("additional_special_tokens");
    for (size_t i = 0; i < more->size(); ++i) {
      RETURN_IF_ERROR(ReadName((*more)[i], place.Element(i)));
    }
    return absl::OkStatus();
  }

  void AddByContent(std::string_view content) {
    const auto id = vocabulary_->IdOf(content);
    if (!id) return;
    Add({.id = *id, .content = std::string(content), .special = true});
  }

 private:
  static absl::StatusOr<TokenId> KeyAsId(const std::string& key,
                                         const Place& place) {
    int id = -1;
    const char* const end = key.data() + key.size();
    const auto parsed = std::from_chars(key.data(), end, id);
    if (parsed.ec == std::errc() && parsed.ptr == end && id >= 0 &&
        id < kMaxTokenId) {
      return id;
    }
    return BadTokenizer(
        place, base::Cat("want an id of [0, ", kMaxTokenId, ") as the key"));
  }

  absl::Status ReadName(const Json& value, const Place& place) {
    if (value.is_string()) {
      AddByContent(value.get_ref<const std::string&>());
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Of(value, place));
    ASSIGN_OR_RETURN(const std::string content, object.String("content"));
    const auto id = vocabulary_->IdOf(content);
    if (!id) return absl::OkStatus();
    ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(object, *id));
    token.special = true;
    Add(std::move(token));
    return absl::OkStatus();
  }

  const Vocabulary* const vocabulary_;
  std::vector<AddedToken> tokens_;
};

// An optional JSON file; null when there is none.
absl::StatusOr<Json> ReadOptionalJson(const fs::path& folder,
                                      std::string_view name) {
  absl::StatusOr<std::string> text = ReadFile(folder / name);
  if (text.status().code() == absl::StatusCode::kNotFound) return Json();
  RETURN_IF_ERROR(text.status());
  return ParseJson(*text, {.file = std::string(name)});
}

absl::StatusOr<std::vector<MergePair>> ParseMerges(std::string_view text) {
  std::vector<MergePair> merges;
  size_t line_number = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++line_number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    std::optional<MergePair> merge = SplitMerge(line);
    if (!merge) {
      return BadTokenizer({.file = "merges.txt"},
                          base::Cat("line ", line_number, ": want two words"),
                          {{"line", base::Cat(line_number)}});
    }
    merges.push_back(*std::move(merge));
  }
  return merges;
}

enum class Family { kGpt2, kQwen2 };

absl::StatusOr<Family> FamilyOf(const JsonObject& config, const Json& model) {
  ASSIGN_OR_RETURN(const auto name, config.OptionalString("tokenizer_class"));
  if (name == "GPT2Tokenizer" || name == "GPT2TokenizerFast") {
    return Family::kGpt2;
  }
  if (name == "Qwen2Tokenizer" || name == "Qwen2TokenizerFast") {
    return Family::kQwen2;
  }
  if (name) {
    return BadTokenizer(config.place().Member("tokenizer_class"),
                        base::Cat("\"", *name,
                                  "\" without a tokenizer.json: want "
                                  "GPT2Tokenizer or Qwen2Tokenizer"));
  }
  const bool qwen2 =
      model.is_object() && model.value("model_type", Json()) == "qwen2";
  return qwen2 ? Family::kQwen2 : Family::kGpt2;
}

absl::Status CollectSpecial(const fs::path& folder,
                            const JsonObject& config,
                            SpecialTokens* special) {
  RETURN_IF_ERROR(special->ReadDecoderTable(config));
  ASSIGN_OR_RETURN(const Json ids,
                   ReadOptionalJson(folder, "added_tokens.json"));
  if (!ids.is_null()) {
    RETURN_IF_ERROR(special->ReadIdTable(ids, {.file = "added_tokens.json"}));
  }
  ASSIGN_OR_RETURN(const Json names,
                   ReadOptionalJson(folder, "special_tokens_map.json"));
  if (!names.is_null()) {
    ASSIGN_OR_RETURN(
        const JsonObject object,
        JsonObject::Of(names, {.file = "special_tokens_map.json"}));
    RETURN_IF_ERROR(special->ReadNames(object));
  }
  RETURN_IF_ERROR(special->ReadNames(config));
  special->AddByContent(kEndOfText);
  return absl::OkStatus();
}

absl::Status SetBeginning(const JsonObject& config,
                          const SpecialTokens& special,
                          Stages* stages) {
  ASSIGN_OR_RETURN(const bool wanted, config.Bool("add_bos_token", false));
  if (!wanted) return absl::OkStatus();
  const Json* value = config.Find("bos_token");
  std::string content(kEndOfText);
  if (value != nullptr && value->is_string())
    content = value->get<std::string>();
  if (value != nullptr && value->is_object()) {
    ASSIGN_OR_RETURN(
        const JsonObject object,
        JsonObject::Of(*value, config.place().Member("bos_token")));
    ASSIGN_OR_RETURN(content, object.String("content"));
  }
  for (const AddedToken& token : special.tokens()) {
    if (token.content != content) continue;
    stages->post_processor.before = {token.id};
    return absl::OkStatus();
  }
  return BadTokenizer(config.place().Member("add_bos_token"),
                      base::Cat("\"", content, "\" has no id"));
}

absl::StatusOr<std::unique_ptr<TokenModel>> ReadModel(const fs::path& folder) {
  ASSIGN_OR_RETURN(const std::string vocab_text,
                   ReadFile(folder / "vocab.json"));
  ASSIGN_OR_RETURN(const std::string merges_text,
                   ReadFile(folder / "merges.txt"));
  const Place place{.file = "vocab.json"};
  ASSIGN_OR_RETURN(const Json vocab, ParseJson(vocab_text, place));
  ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::Read(vocab, place));
  ASSIGN_OR_RETURN(const std::vector<MergePair> merges,
                   ParseMerges(merges_text));
  return MakeBpe(std::move(vocabulary), merges, {}, {.file = "merges.txt"});
}

absl::Status SetWords(const fs::path& folder,
                      const JsonObject& config,
                      Stages* stages) {
  ASSIGN_OR_RETURN(const Json model, ReadOptionalJson(folder, "config.json"));
  ASSIGN_OR_RETURN(const Family family, FamilyOf(config, model));
  if (family == Family::kQwen2) {
    stages->normalizer = MakeNfc();
    ASSIGN_OR_RETURN(Pattern words, Pattern::Regex(kQwen2Words, {}));
    stages->pre_tokenizer = MakeSplitThenByteLevel(std::move(words));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const bool prefix, config.Bool("add_prefix_space", false));
  stages->pre_tokenizer = MakeByteLevel(prefix);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> OpenPairFiles(
    const fs::path& folder) {
  Stages stages;
  ASSIGN_OR_RETURN(stages.model, ReadModel(folder));
  const Place place{.file = "tokenizer_config.json"};
  ASSIGN_OR_RETURN(Json config_json, ReadOptionalJson(folder, place.file));
  if (config_json.is_null()) config_json = Json::object();
  ASSIGN_OR_RETURN(const JsonObject config, JsonObject::Of(config_json, place));
  RETURN_IF_ERROR(SetWords(folder, config, &stages));
  stages.decoder = MakeByteLevelDecoder();
  SpecialTokens special(&stages.model->vocabulary());
  RETURN_IF_ERROR(CollectSpecial(folder, config, &special));
  RETURN_IF_ERROR(SetBeginning(config, special, &stages));
  ASSIGN_OR_RETURN(
      stages.added,
      AddedTokens::Make(special.Sorted(), stages.model->vocabulary(),
                        stages.normalizer.get(), place));
  return MakePipeline(std::move(stages));
}

}  // namespace spar::models::text
