// L1t. Writes a trained demo model as a Hugging Face snapshot folder.
#pragma once

#include <filesystem>

#include "absl/status/status.h"

#include "models/demo/demo_decoder.h"
#include "models/demo/vocabulary.h"

namespace spar::demo {

// config.json, model.safetensors, tokenizer.json, tokenizer_config.json and
// reference_prompts.txt in `folder` (made when missing), and queries.txt beside
// it. kUnavailable when a file cannot be written.
absl::Status WriteModelFolder(const DemoDecoder& decoder,
                              const Vocabulary& vocabulary,
                              const std::filesystem::path& folder);

}  // namespace spar::demo
