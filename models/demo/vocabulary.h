// L1. The demo model's word-level vocabulary and its Hugging Face files.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"

#include "models/demo/world.h"
#include "models/row.h"

namespace spar::demo {

// Id 0 is "<unk>"; the words follow in the order given. Immutable.
class Vocabulary {
 public:
  explicit Vocabulary(const Words& words);

  int size() const { return static_cast<int>(words_.size()); }
  models::TokenId Id(const std::string& word) const;  // 0 when unknown
  std::vector<models::TokenId> Ids(const Words& words) const;
  const std::string& Word(models::TokenId id) const { return words_[id]; }

  // Writes tokenizer.json (WordLevel, split at white space, no special tokens
  // added) and tokenizer_config.json. kUnavailable when it cannot.
  absl::Status Write(const std::filesystem::path& folder) const;

 private:
  Words words_;
  std::unordered_map<std::string, models::TokenId> ids_;
};

// Writes `text` to `path`. kUnavailable when it cannot.
absl::Status WriteText(const std::filesystem::path& path,
                       std::string_view text);

}  // namespace spar::demo
