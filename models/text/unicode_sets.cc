// L1, tokenizers. Sets of characters as Oniguruma and Rust know them.
#include "models/text/unicode_sets.h"

#include <algorithm>
#include <array>

#include "base/status.h"
#include "models/text/pattern.h"
#include "models/text/unicode_additions.h"
#include "models/text/utf8.h"

namespace spar::models::text {
namespace {

constexpr std::string_view kSpace =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}"
    "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
constexpr std::string_view kNotSpace =
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}"
    "\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}"
    "\\x{3001}-\\x{10ffff}";

constexpr std::array<std::string_view, 37> kCategories = {
    "C",  "Cc", "Cf", "Cn", "Co", "Cs", "L",  "Ll", "Lm", "Lo",
    "Lt", "Lu", "M",  "Mc", "Me", "Mn", "N",  "Nd", "Nl", "No",
    "P",  "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S",  "Sc",
    "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs"};

// Rust's \w, as a whole class.
std::string WordPattern() {
  return base::Cat("[", WordSet(), "]");
}

std::string Category(std::string_view name) {
  return base::Cat("\\p{", name, "}", AdditionsTo(name));
}

std::string UnicodeWord() {
  return base::Cat(Category("Alphabetic"), Category("M"), Category("Nd"),
                   Category("Pc"));
}

// Superscript digits and fractions of Latin-1.
constexpr std::string_view kAlsoWord = "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";

bool IsName(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  });
}

}  // namespace

std::string ShorthandSet(char letter, bool in_class) {
  if (letter == 's') return std::string(kSpace);
  if (letter == 'd') return Category("Nd");
  return in_class ? UnicodeWord() : base::Cat(UnicodeWord(), kAlsoWord);
}

std::string WordSet() {
  return base::Cat(UnicodeWord(), "\\x{200c}\\x{200d}");
}

std::string NotSpaceSet() {
  return std::string(kNotSpace);
}

std::optional<std::string> PropertySet(std::string_view name) {
  const auto found = std::find(kCategories.begin(), kCategories.end(), name);
  if (found != kCategories.end()) return Category(name);
  if (name.size() < 3 || !IsName(name)) return std::nullopt;
  return base::Cat("\\p{sc:", name, "}");
}

bool IsSpace(char32_t c) {
  return (c >= 0x9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool IsWord(char32_t c) {
  if (c < 0x80) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || c == '_';
  }
  static const Pattern* const word = new Pattern(Pattern::Known(WordPattern()));
  std::string text;
  AppendUtf8(c, &text);
  const absl::StatusOr<std::vector<Span>> spans = word->Cut(text);
  return spans.ok() && spans->size() == 1 && spans->front().match;
}

}  // namespace spar::models::text
