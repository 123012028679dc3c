// L0. Bytes as UTF-8, one character at a time; numbers as text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace spar::base {

// One character of a UTF-8 string; `bytes` is 1 and `valid` false for a byte
// that starts none.
struct Utf8Character {
  char32_t code = 0;
  size_t bytes = 1;
  bool valid = false;
};

// The character that `text` (not empty) starts with.
Utf8Character FirstCharacter(std::string_view text);

// `format` is a printf format of one double.
std::string Printed(const char* format, double value);

}  // namespace spar::base
