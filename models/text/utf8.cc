// L1, tokenizers. UTF-8 scanning after the table of well-formed sequences of
// the Unicode standard (3-7): only the second byte's range depends on the lead.
#include "models/text/utf8.h"

#include <cstdint>

namespace spar::models::text {
namespace {

struct Lead {
  int trailing = -1;  // continuation bytes, -1: no lead byte
  uint8_t low = 0x80;
  uint8_t high = 0xBF;  // of the second byte
};

Lead Classify(uint8_t byte) {
  if (byte < 0x80) return {.trailing = 0};
  if (byte < 0xC2) return {};
  if (byte < 0xE0) return {.trailing = 1};
  if (byte == 0xE0) return {.trailing = 2, .low = 0xA0};
  if (byte == 0xED) return {.trailing = 2, .high = 0x9F};
  if (byte < 0xF0) return {.trailing = 2};
  if (byte == 0xF0) return {.trailing = 3, .low = 0x90};
  if (byte < 0xF4) return {.trailing = 3};
  if (byte == 0xF4) return {.trailing = 3, .high = 0x8F};
  return {};
}

}  // namespace

Utf8Step NextUtf8(std::string_view bytes, size_t at) {
  const uint8_t first = static_cast<uint8_t>(bytes[at]);
  if (first < 0x80) return {.code_point = first, .size = 1, .valid = true};
  Lead lead = Classify(first);
  if (lead.trailing < 0) return {.size = 1};
  char32_t code_point = first & (0x3F >> lead.trailing);
  for (int i = 1; i <= lead.trailing; ++i) {
    if (at + i >= bytes.size()) return {.size = static_cast<size_t>(i)};
    const uint8_t byte = static_cast<uint8_t>(bytes[at + i]);
    if (byte < lead.low || byte > lead.high) {
      return {.size = static_cast<size_t>(i)};
    }
    lead.low = 0x80;
    lead.high = 0xBF;
    code_point = (code_point << 6) | (byte & 0x3F);
  }
  return {.code_point = code_point,
          .size = static_cast<size_t>(lead.trailing) + 1,
          .valid = true};
}

bool IsValidUtf8(std::string_view bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Step step = NextUtf8(bytes, at);
    if (!step.valid) return false;
    at += step.size;
  }
  return true;
}

std::string ReplaceInvalidUtf8(std::string_view bytes) {
  if (IsValidUtf8(bytes)) return std::string(bytes);
  std::string text;
  text.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Step step = NextUtf8(bytes, at);
    AppendUtf8(step.code_point, &text);
    at += step.size;
  }
  return text;
}

std::string EscapeInvalidUtf8(std::string_view bytes) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string text;
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Step step = NextUtf8(bytes, at);
    for (size_t i = at; i < at + step.size; ++i) {
      if (step.valid) {
        text += bytes[i];
      } else {
        const uint8_t byte = static_cast<uint8_t>(bytes[i]);
        text += "\\x";
        text += kHex[byte >> 4];
        text += kHex[byte & 15];
      }
    }
    at += step.size;
  }
  return text;
}

void AppendUtf8(char32_t code_point, std::string* out) {
  const auto put = [out](char32_t byte) { *out += static_cast<char>(byte); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

size_t LastCodePoint(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

}  // namespace spar::models::text
