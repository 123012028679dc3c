// L1, tokenizers. What Hugging Face's library knows of Unicode otherwise than
// the libraries that Spar uses: its patterns know newer characters, its normal
// forms only those of Unicode 9. Stateless, thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace spar::models::text {

// Members that a general category ("Lu", or "L" for all of L) or "Alphabetic"
// has beyond PCRE2's own, as the inside of a bracketed class. May be empty.
std::string AdditionsTo(std::string_view set);

// Normal forms leave this character alone and see no combining mark in it,
// although utf8proc would do otherwise.
bool IsInert(char32_t code_point);

// The lower case of a letter that is too new for utf8proc.
std::optional<char32_t> AddedLower(char32_t code_point);

}  // namespace spar::models::text
