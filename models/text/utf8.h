// L1, tokenizers. UTF-8 without exceptions: scanning, repairing, appending.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace spar::models::text {

// One step through bytes that may be anything.
struct Utf8Step {
  char32_t code_point = 0xFFFD;
  size_t size = 0;     // bytes consumed, at least 1
  bool valid = false;  // false: a maximal ill-formed subpart, code point U+FFFD
};

// `at` < bytes.size().
Utf8Step NextUtf8(std::string_view bytes, size_t at);

bool IsValidUtf8(std::string_view bytes);

// Each maximal ill-formed subpart becomes one U+FFFD, as Python's
// errors="replace" and Rust's from_utf8_lossy do.
std::string ReplaceInvalidUtf8(std::string_view bytes);

// Each byte of an ill-formed subpart becomes \xNN, for people.
std::string EscapeInvalidUtf8(std::string_view bytes);

// `code_point` is a Unicode scalar value.
void AppendUtf8(char32_t code_point, std::string* out);

// Where the last code point of the valid, non-empty `text` starts.
size_t LastCodePoint(std::string_view text);

}  // namespace spar::models::text
