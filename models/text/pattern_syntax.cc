// L1, tokenizers. One pass over an Oniguruma expression, writing PCRE2's.
#include "models/text/pattern_syntax.h"

#include <cctype>
#include <optional>

#include "base/status.h"
#include "models/text/unicode_sets.h"

namespace spar::models::text {
namespace {

bool IsAlnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
         (c >= 'A' && c <= 'Z');
}

bool IsHex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
         (c >= 'A' && c <= 'F');
}

class Translator {
 public:
  explicit Translator(std::string_view in) : in_(in) {}

  absl::StatusOr<std::string> Run() {
    if (in_.starts_with("(?i)")) Copy(4);
    while (at_ < in_.size()) RETURN_IF_ERROR(Step());
    return std::move(out_);
  }

 private:
  absl::Status Step() {
    switch (in_[at_]) {
      case '\\':
        return Escape(/*in_class=*/false);
      case '[':
        return Class();
      case '(':
        return Group();
      case '{':
        return Interval();
      default:
        Copy(1);
        return absl::OkStatus();
    }
  }

  absl::Status Refuse(std::string_view construct) const {
    return base::InvalidArgument(
        "BAD_TOKENIZER", "",
        base::Cat("the regular expression uses ", construct, " at byte ", at_,
                  ", which this server does not support"));
  }

  void Copy(size_t bytes) {
    out_ += in_.substr(at_, bytes);
    at_ += bytes;
  }

  std::string_view Rest() const { return in_.substr(at_); }

  absl::Status Group() {
    for (const std::string_view opening :
         {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:"}) {
      if (Rest().starts_with(opening)) {
        Copy(opening.size());
        return absl::OkStatus();
      }
    }
    if (Rest().starts_with("(?") || Rest().starts_with("(*")) {
      return Refuse(Rest().substr(0, 3));
    }
    Copy(1);
    return absl::OkStatus();
  }

  // {n}, {n,} and {n,m} mean the same in both dialects, but not what may follow
  // them: {n}? is optional and {n,m}+ is repeated in Oniguruma.
  absl::Status Interval() {
    size_t end = at_ + 1;
    while (end < in_.size() &&
           (std::isdigit(static_cast<unsigned char>(in_[end])) != 0 ||
            in_[end] == ',')) {
      ++end;
    }
    const std::string_view body = in_.substr(at_ + 1, end - at_ - 1);
    if (end == in_.size() || in_[end] != '}' || body.empty() ||
        body.front() == ',') {
      return Refuse("an unescaped {");
    }
    const char next = end + 1 < in_.size() ? in_[end + 1] : ' ';
    const bool exact = body.find(',') == std::string_view::npos;
    if (next == '+' || (next == '?' && exact)) {
      return Refuse(in_.substr(at_, end + 2 - at_));
    }
    Copy(end + 1 - at_);
    return absl::OkStatus();
  }

  absl::Status Class() {
    Copy(1);
    if (Rest().starts_with("^")) Copy(1);
    if (Rest().starts_with("]")) return Refuse("a class that starts with ]");
    while (at_ < in_.size() && in_[at_] != ']') {
      if (in_[at_] == '[') return Refuse("a nested class");
      if (Rest().starts_with("&&")) return Refuse("a class intersection");
      if (in_[at_] == '\\') {
        RETURN_IF_ERROR(Escape(/*in_class=*/true));
      } else {
        Copy(1);
      }
    }
    if (at_ == in_.size()) return Refuse("an unclosed class");
    Copy(1);
    return absl::OkStatus();
  }

  absl::Status Escape(bool in_class) {
    if (at_ + 1 == in_.size()) return Refuse("a trailing backslash");
    const char c = in_[at_ + 1];
    if (!IsAlnum(c) ||
        std::string_view("nrtf").find(c) != std::string_view::npos) {
      Copy(2);
      return absl::OkStatus();
    }
    switch (c) {
      case 'v':  // the vertical tab alone
        return Write("\\x{b}", 2);
      case 's':
      case 'w':
      case 'd':
        return Set(ShorthandSet(c, in_class), /*negated=*/false, in_class, 2);
      case 'S':
      case 'W':
      case 'D':
        return Set(ShorthandSet(static_cast<char>(c - 'A' + 'a'), in_class),
                   /*negated=*/true, in_class, 2);
      case 'p':
      case 'P':
        return Property(in_class);
      case 'x':
      case 'u':
        return CodePoint();
      default:
        break;
    }
    return in_class ? Refuse(in_.substr(at_, 2)) : Assertion(c);
  }

  absl::Status Assertion(char c) {
    if (c == 'A' || c == 'z' || c == 'Z' || c == 'G') {
      Copy(2);
      return absl::OkStatus();
    }
    if (c != 'b' && c != 'B') return Refuse(in_.substr(at_, 2));
    const std::string word =
        base::Cat("[", ShorthandSet('w', /*in_class=*/false), "]");
    return Write(c == 'b' ? base::Cat("(?:(?<=", word, ")(?!", word, ")|(?<!",
                                      word, ")(?=", word, "))")
                          : base::Cat("(?:(?<=", word, ")(?=", word, ")|(?<!",
                                      word, ")(?!", word, "))"),
                 2);
  }

  absl::Status Write(std::string_view text, size_t consumed) {
    out_ += text;
    at_ += consumed;
    return absl::OkStatus();
  }

  // `members` is the inside of a bracketed class.
  absl::Status Set(const std::string& members,
                   bool negated,
                   bool in_class,
                   size_t consumed) {
    if (!in_class) {
      return Write(base::Cat(negated ? "[^" : "[", members, "]"), consumed);
    }
    if (!negated) return Write(members, consumed);
    // A class cannot hold the complement of a union, but of single properties.
    const std::string_view spelling = in_.substr(at_, consumed);
    if (spelling == "\\S") return Write(NotSpaceSet(), consumed);
    return Refuse(base::Cat(spelling, " in a class"));
  }

  absl::Status Property(bool in_class) {
    const size_t close = in_.find('}', at_);
    if (at_ + 2 >= in_.size() || in_[at_ + 2] != '{' ||
        close == std::string_view::npos) {
      return Refuse("\\p without {...}");
    }
    std::string_view name = in_.substr(at_ + 3, close - at_ - 3);
    bool negated = in_[at_ + 1] == 'P';
    if (name.starts_with("^")) {
      negated = !negated;
      name.remove_prefix(1);
    }
    const std::optional<std::string> members = PropertySet(name);
    if (!members) return Refuse(in_.substr(at_, close + 1 - at_));
    return Set(*members, negated, in_class, close + 1 - at_);
  }

  // \xHH, \x{H...} and \uHHHH.
  absl::Status CodePoint() {
    const bool braced = Rest().starts_with("\\x{");
    const size_t begin = at_ + (braced ? 3 : 2);
    const size_t most = braced ? 8 : in_[at_ + 1] == 'u' ? 4 : 2;
    size_t end = begin;
    while (end < in_.size() && end - begin < most && IsHex(in_[end])) ++end;
    const bool closed = !braced || (end < in_.size() && in_[end] == '}');
    if (end == begin || !closed || (!braced && end - begin < most)) {
      return Refuse("a malformed \\x or \\u");
    }
    const std::string digits(in_.substr(begin, end - begin));
    return Write(base::Cat("\\x{", digits, "}"), end + (braced ? 1 : 0) - at_);
  }

  const std::string_view in_;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

absl::StatusOr<std::string> TranslatePattern(std::string_view expression) {
  return Translator(expression).Run();
}

}  // namespace spar::models::text
