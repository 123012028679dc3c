// L1, tokenizers. The older form of a byte-level tokenizer: vocab.json and
// merges.txt, with special tokens in further files.
#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"

#include "models/text/tokenizer.h"

namespace spar::models::text {

// GPT-2's tokenizer, or Qwen2's where tokenizer_config.json names that class.
// kNotFound without vocab.json or merges.txt, BAD_TOKENIZER otherwise, also for
// a tokenizer_class that is neither.
absl::StatusOr<std::unique_ptr<Tokenizer>> OpenPairFiles(
    const std::filesystem::path& folder);

}  // namespace spar::models::text
