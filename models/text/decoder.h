// L1, tokenizers. From tokens back to text.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "models/text/json_reader.h"

namespace spar::models::text {

// Immutable, thread-safe.
class Decoder {
 public:
  virtual ~Decoder() = default;
  // Rewrites a sequence of tokens; the text is what they then join to.
  virtual void Apply(std::vector<std::string>* tokens) const = 0;
  // The bytes one token stands for wherever it occurs: what Apply does without
  // what depends on its neighbours or on being first or last.
  virtual std::string OneToken(std::string token) const = 0;
};

// The "decoder" of a tokenizer.json: ByteLevel, ByteFallback, Fuse, Strip,
// Replace, Metaspace, BPEDecoder, Sequence. BAD_TOKENIZER for others.
absl::StatusOr<std::unique_ptr<Decoder>> ReadDecoder(const Json& value,
                                                     const Place& place);

std::unique_ptr<Decoder> MakeByteLevelDecoder();

}  // namespace spar::models::text
