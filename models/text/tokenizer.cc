// L1. Opening a folder's tokenizer, in whichever form it has.
#include "models/text/tokenizer.h"

#include "base/status.h"
#include "models/text/pair_files.h"
#include "models/text/pipeline.h"

namespace spar::models {

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Open(
    const std::filesystem::path& folder) {
  absl::StatusOr<std::string> file = text::ReadFile(folder / "tokenizer.json");
  if (file.ok()) {
    const text::Place place{.file = "tokenizer.json"};
    ASSIGN_OR_RETURN(const text::Json value, text::ParseJson(*file, place));
    return text::ReadTokenizerJson(value, place);
  }
  if (file.status().code() != absl::StatusCode::kNotFound) {
    return file.status();
  }
  absl::StatusOr<std::unique_ptr<Tokenizer>> pair = text::OpenPairFiles(folder);
  if (pair.status().code() != absl::StatusCode::kNotFound) return pair;
  return base::Error(
      absl::StatusCode::kNotFound,
      "the folder has no tokenizer: want tokenizer.json, or vocab.json and "
      "merges.txt",
      {.reason = "BAD_TOKENIZER", .metadata = {{"file", "tokenizer.json"}}});
}

}  // namespace spar::models
