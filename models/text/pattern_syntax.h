// L1, tokenizers. Regular expressions of tokenizer files are in Oniguruma's
// dialect; Spar matches with PCRE2. Stateless, thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace spar::models::text {

// The same expression for PCRE2 (UTF, UCP and MULTILINE). Where the dialects
// mean different sets by one spelling (\s, \w, \b, \p{...}), the sets of
// Oniguruma are written out. kInvalidArgument, a bare sentence, for constructs
// that differ and that no known tokenizer needs (nested or intersected classes,
// \h, {n,m}+, inline options inside the expression, callouts and verbs).
// `expression` is valid UTF-8. Syntax errors beyond that are left to PCRE2.
absl::StatusOr<std::string> TranslatePattern(std::string_view expression);

}  // namespace spar::models::text
