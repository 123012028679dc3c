// L1, tokenizers. The 188 printable Latin-1 characters stand for themselves;
// the 68 other bytes, in order, are the characters from U+0100 on.
#include "models/text/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "models/text/utf8.h"

namespace spar::models::text {
namespace {

constexpr int kShifted = 68;

bool StandsForItself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) ||
         (byte >= 0xAE && byte <= 0xFF);
}

struct Alphabet {
  std::array<std::string, 256> of_byte = {};
  std::array<int, 0x100 + kShifted> byte_of = {};

  Alphabet() {
    byte_of.fill(-1);
    char32_t shifted = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const char32_t code_point =
          StandsForItself(byte) ? static_cast<char32_t>(byte) : shifted++;
      AppendUtf8(code_point, &of_byte[byte]);
      byte_of[code_point] = byte;
    }
  }
};

const Alphabet& TheAlphabet() {
  static const Alphabet* const alphabet = new Alphabet();
  return *alphabet;
}

}  // namespace

std::string BytesToAlphabet(std::string_view bytes) {
  const Alphabet& alphabet = TheAlphabet();
  std::string text;
  text.reserve(bytes.size() + bytes.size() / 4);
  for (const char byte : bytes)
    text += alphabet.of_byte[static_cast<uint8_t>(byte)];
  return text;
}

std::string AlphabetToBytes(std::string_view text) {
  const Alphabet& alphabet = TheAlphabet();
  std::string bytes;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = NextUtf8(text, at);
    at += step.size;
    const int byte = step.code_point < alphabet.byte_of.size()
                         ? alphabet.byte_of[step.code_point]
                         : -1;
    if (byte < 0) return std::string(text);
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

}  // namespace spar::models::text
