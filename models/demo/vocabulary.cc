// L1. See vocabulary.h.
#include "models/demo/vocabulary.h"

#include <fstream>

#include <nlohmann/json.hpp>

#include "base/status.h"

namespace spar::demo {
namespace {

constexpr std::string_view kUnknown = "<unk>";

nlohmann::ordered_json UnknownToken() {
  return {{"id", 0},         {"content", kUnknown}, {"single_word", false},
          {"lstrip", false}, {"rstrip", false},     {"normalized", false},
          {"special", true}};
}

}  // namespace

Vocabulary::Vocabulary(const Words& words) {
  words_.emplace_back(kUnknown);
  words_.insert(words_.end(), words.begin(), words.end());
  for (const std::string& word : words_) {
    ids_.emplace(word, static_cast<models::TokenId>(ids_.size()));
  }
  INVARIANT(ids_.size() == words_.size());
}

models::TokenId Vocabulary::Id(const std::string& word) const {
  const auto found = ids_.find(word);
  return found == ids_.end() ? 0 : found->second;
}

std::vector<models::TokenId> Vocabulary::Ids(const Words& words) const {
  std::vector<models::TokenId> ids;
  for (const std::string& word : words) ids.push_back(Id(word));
  return ids;
}

absl::Status Vocabulary::Write(const std::filesystem::path& folder) const {
  nlohmann::ordered_json vocabulary;
  for (size_t id = 0; id < words_.size(); ++id) vocabulary[words_[id]] = id;
  const nlohmann::ordered_json tokenizer = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", nlohmann::ordered_json::array({UnknownToken()})},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "WhitespaceSplit"}}},
      {"post_processor", nullptr},
      {"decoder", nullptr},
      {"model",
       {{"type", "WordLevel"},
        {"vocab", vocabulary},
        {"unk_token", kUnknown}}}};
  RETURN_IF_ERROR(
      WriteText(folder / "tokenizer.json", tokenizer.dump(1) + "\n"));
  const nlohmann::ordered_json config = {
      {"tokenizer_class", "PreTrainedTokenizerFast"},
      {"unk_token", kUnknown},
      {"clean_up_tokenization_spaces", false}};
  return WriteText(folder / "tokenizer_config.json", config.dump(1) + "\n");
}

absl::Status WriteText(const std::filesystem::path& path,
                       std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (file.fail()) {
    return base::Error(absl::StatusCode::kUnavailable,
                       base::Cat("cannot write ", path.string()),
                       {.reason = "FILE_NOT_WRITTEN"});
  }
  return absl::OkStatus();
}

}  // namespace spar::demo
