// L1, tokenizers. What is put around a text's tokens.
#pragma once

#include <vector>

#include "absl/status/statusor.h"

#include "models/row.h"
#include "models/text/json_reader.h"

namespace spar::models::text {

// For one text, every post-processor comes to this.
struct PostProcessor {
  std::vector<TokenId> before = {};
  std::vector<TokenId> after = {};
};

// The "post_processor" of a tokenizer.json: ByteLevel, TemplateProcessing,
// RobertaProcessing, BertProcessing, Sequence. Ids must be below `vocab_size`.
// BAD_TOKENIZER for others and for templates without exactly one $A.
absl::StatusOr<PostProcessor> ReadPostProcessor(const Json& value,
                                                int vocab_size,
                                                const Place& place);

}  // namespace spar::models::text
