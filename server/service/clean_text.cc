#include "server/service/clean_text.h"

#include <cstdint>

namespace spar::service {
namespace {

// Bytes of the valid UTF-8 character that begins `text`, or 0.
size_t CharacterBytes(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  size_t length = 0;
  uint32_t code = 0;
  uint32_t smallest = 0;
  if ((lead & 0xE0) == 0xC0) {
    length = 2, code = lead & 0x1F, smallest = 0x80;
  } else if ((lead & 0xF0) == 0xE0) {
    length = 3, code = lead & 0x0F, smallest = 0x800;
  } else if ((lead & 0xF8) == 0xF0) {
    length = 4, code = lead & 0x07, smallest = 0x10000;
  }
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3F);
  }
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  return code < smallest || code > 0x10FFFF || surrogate ? 0 : length;
}

}  // namespace

std::string CleanText(std::string_view text, size_t max_bytes) {
  constexpr std::string_view kCut = "...";
  std::string clean;
  size_t room_for_cut = 0;  // the last size at which kCut still fits
  while (!text.empty()) {
    const size_t length = CharacterBytes(text);
    if (clean.size() + kCut.size() <= max_bytes) room_for_cut = clean.size();
    if (clean.size() + (length == 0 ? 1 : length) > max_bytes) {
      clean.resize(room_for_cut);
      return clean.append(kCut.substr(0, max_bytes));
    }
    if (length == 0) {
      clean.push_back('?');
      text.remove_prefix(1);
    } else {
      clean.append(text.substr(0, length));
      text.remove_prefix(length);
    }
  }
  return clean;
}

}  // namespace spar::service
