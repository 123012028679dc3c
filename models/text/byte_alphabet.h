// L1, tokenizers. GPT-2's alphabet: one printable character for each byte, so
// that any bytes can be written as text. Stateless, thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace spar::models::text {

// Each byte as its character, UTF-8 encoded.
std::string BytesToAlphabet(std::string_view bytes);

// The bytes that the characters of `text` stand for; `text` itself when it
// holds a character outside the alphabet (an added token does).
std::string AlphabetToBytes(std::string_view text);

}  // namespace spar::models::text
