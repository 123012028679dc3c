// L1, tokenizers. What normalizers and pre-tokenizers search a text for.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "models/text/json_reader.h"

namespace spar::models::text {

// A stretch of a text: a match of the pattern, or what lies between two.
struct Span {
  size_t begin = 0;
  size_t end = 0;
  bool match = false;
};

// Immutable, thread-safe, cheap to copy.
class Pattern {
 public:
  // A regular expression in Oniguruma's dialect, which is what tokenizer files
  // hold. BAD_TOKENIZER at `place` when it does not compile or uses what
  // TranslatePattern refuses.
  static absl::StatusOr<Pattern> Regex(std::string_view expression,
                                       const Place& place);
  // These very characters.
  static absl::StatusOr<Pattern> Literal(std::string_view text,
                                         const Place& place);
  // {"Regex": "..."} or {"String": "..."}.
  static absl::StatusOr<Pattern> Read(const Json& value, const Place& place);
  // An expression of our own, already in PCRE2's dialect; it must compile.
  static Pattern Known(std::string_view pcre2);

  // Some text has an empty match. Never false when one does.
  bool MayMatchEmpty() const;

  // Cuts `text`, valid UTF-8, into matches and the stretches between them, in
  // order and without gaps; an empty match gives an empty stretch.
  // kInvalidArgument PATTERN_TOO_SLOW when the expression backtracks beyond the
  // limits on this text.
  absl::StatusOr<std::vector<Span>> Cut(std::string_view text) const;

 private:
  struct Code;
  explicit Pattern(std::shared_ptr<const Code> code) : code_(std::move(code)) {}
  static absl::StatusOr<Pattern> Compile(std::string_view pcre2, bool literal);

  std::shared_ptr<const Code> code_;  // shared: immutable
};

}  // namespace spar::models::text
