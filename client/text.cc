#include "client/text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "base/status.h"
#include "base/text.h"

namespace spar::client {
namespace {

using base::FirstCharacter;
using Character = base::Utf8Character;

struct Range {
  char32_t first = 0;
  char32_t last = 0;
};

template <size_t kSize>
bool Contains(const std::array<Range, kSize>& ranges, char32_t code) {
  return std::any_of(ranges.begin(), ranges.end(), [code](const Range& range) {
    return range.first <= code && code <= range.last;
  });
}

// Reorders or hides what follows, or breaks the line.
bool IsUnsafe(char32_t code) {
  constexpr std::array<Range, 7> kUnsafe = {{{0x00, 0x1F},
                                             {0x7F, 0x9F},
                                             {0x061C, 0x061C},
                                             {0x200B, 0x200F},
                                             {0x2028, 0x202E},
                                             {0x2060, 0x206F},
                                             {0xFEFF, 0xFEFF}}};
  return Contains(kUnsafe, code);
}

bool IsCombining(char32_t code) {
  constexpr std::array<Range, 9> kCombining = {{{0x0300, 0x036F},
                                                {0x0483, 0x0489},
                                                {0x0591, 0x05BD},
                                                {0x064B, 0x065F},
                                                {0x093C, 0x093C},
                                                {0x1AB0, 0x1AFF},
                                                {0x20D0, 0x20FF},
                                                {0xFE00, 0xFE0F},
                                                {0xFE20, 0xFE2F}}};
  return Contains(kCombining, code);
}

bool IsWide(char32_t code) {
  constexpr std::array<Range, 11> kWide = {{{0x1100, 0x115F},
                                            {0x2E80, 0x303E},
                                            {0x3041, 0xA4CF},
                                            {0xA960, 0xA97F},
                                            {0xAC00, 0xD7A3},
                                            {0xF900, 0xFAFF},
                                            {0xFE30, 0xFE6F},
                                            {0xFF00, 0xFF60},
                                            {0xFFE0, 0xFFE6},
                                            {0x1F300, 0x1FAFF},
                                            {0x20000, 0x3FFFD}}};
  return Contains(kWide, code);
}

int ColumnsOf(char32_t code) {
  if (IsCombining(code)) return 0;
  return IsWide(code) ? 2 : 1;
}

template <typename... Numbers>
std::string Formatted(const char* format, Numbers... numbers) {
  char buffer[64];
  const int size = std::snprintf(buffer, sizeof buffer, format, numbers...);
  return std::string(
      buffer, std::min<size_t>(static_cast<size_t>(size), sizeof buffer - 1));
}

std::string EscapeOf(const Character& character) {
  if (!character.valid) {
    return Formatted("\\x%02x", static_cast<unsigned>(character.code));
  }
  switch (character.code) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return Formatted(character.code < 0x100 ? "\\x%02x" : "\\u%04x",
                       static_cast<unsigned>(character.code));
  }
}

}  // namespace

size_t Utf8Length(std::string_view text) {
  const Character character = FirstCharacter(text);
  return character.valid ? character.bytes : 0;
}

std::string Escaped(std::string_view text) {
  std::string safe;
  while (!text.empty()) {
    const Character character = FirstCharacter(text);
    if (character.valid && !IsUnsafe(character.code)) {
      safe.append(text.substr(0, character.bytes));
    } else {
      safe += EscapeOf(character);
    }
    text.remove_prefix(character.bytes);
  }
  return safe;
}

int Width(std::string_view text) {
  int columns = 0;
  while (!text.empty()) {
    const Character character = FirstCharacter(text);
    columns += ColumnsOf(character.code);
    text.remove_prefix(character.bytes);
  }
  return columns;
}

std::string Clipped(std::string_view text,
                    int columns,
                    std::string_view ellipsis) {
  if (Width(text) <= columns) return std::string(text);
  const int room = columns - Width(ellipsis);
  size_t kept = 0;
  int used = 0;
  while (kept < text.size()) {
    const Character character = FirstCharacter(text.substr(kept));
    if (used + ColumnsOf(character.code) > room) break;
    used += ColumnsOf(character.code);
    kept += character.bytes;
  }
  return base::Cat(text.substr(0, kept), ellipsis);
}

std::string Padded(std::string_view text, int columns) {
  const int missing = std::max(0, columns - Width(text));
  return std::string(text) + std::string(static_cast<size_t>(missing), ' ');
}

std::string RightAligned(std::string_view text, int columns) {
  const int missing = std::max(0, columns - Width(text));
  return std::string(static_cast<size_t>(missing), ' ') + std::string(text);
}

std::string Wrapped(const std::vector<Piece>& pieces, int indent, int columns) {
  std::string lines;
  int used = indent;
  bool at_start = true;
  for (const Piece& piece : pieces) {
    const int space = piece.space_before && !at_start ? 1 : 0;
    if (columns > 0 && !at_start && used + space + piece.columns > columns) {
      lines += '\n';
      lines.append(static_cast<size_t>(indent), ' ');
      used = indent;
    } else if (space > 0) {
      lines += ' ';
      used += 1;
    }
    lines += piece.text;
    used += piece.columns;
    at_start = false;
  }
  return lines;
}

std::string WithCommas(int64_t number) {
  std::string digits = std::to_string(number);
  const size_t first = digits[0] == '-' ? 1 : 0;
  for (size_t i = digits.size(); i > first + 3; i -= 3) {
    digits.insert(i - 3, 1, ',');
  }
  return digits;
}

double SecondsOf(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + 1e-9 * duration.nanos();
}

std::string Signed(double logits) {
  return Formatted("%+.3f", logits);
}

std::string Percent(double share) {
  const double percent = 100 * share;
  if (percent > 0 && percent < 0.01) return "< 0.01 %";
  const int decimals = percent == 0 || percent >= 10 ? 0 : percent >= 1 ? 1 : 2;
  return Formatted("%.*f %%", decimals, percent);
}

std::string Seconds(double seconds) {
  return Formatted("%.*f s", seconds < 10 ? 2 : seconds < 60 ? 1 : 0, seconds);
}

std::string Seconds(const google::protobuf::Duration& duration) {
  return Seconds(SecondsOf(duration));
}

std::string Quoted(std::string_view text) {
  return base::Cat("\"", Escaped(text), "\"");
}

}  // namespace spar::client
