// L1, tokenizers. Sets of characters as Oniguruma and Rust know them, written
// as insides of PCRE2's bracketed classes. Stateless, thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace spar::models::text {

// \s, \w and \d of Oniguruma: White_Space; Alphabetic, marks, decimal digits
// and connectors; decimal digits. `letter` is one of "swd". Outside a bracketed
// class, and there alone, its \w has Latin-1's superscripts and fractions too.
std::string ShorthandSet(char letter, bool in_class);

// Everything but \s.
std::string NotSpaceSet();

// A general category ("L", "Lu", ...) or a script ("Han"); nothing for names
// that are neither. Not negated.
std::optional<std::string> PropertySet(std::string_view name);

// Unicode White_Space, which is also Rust's char::is_whitespace.
bool IsSpace(char32_t code_point);

// \w of Rust's regular expressions, which have the two joiners besides, but no
// superscript digits; as a set and for one character.
std::string WordSet();
bool IsWord(char32_t code_point);

}  // namespace spar::models::text
