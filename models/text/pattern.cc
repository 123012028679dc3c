// L1, tokenizers. PCRE2 behind Pattern; the only file that sees it.
#include "models/text/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include <pcre2.h>

#include "base/status.h"
#include "models/text/pattern_syntax.h"
#include "models/text/utf8.h"

namespace spar::models::text {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxExpressionBytes = 64 << 10;
constexpr uint32_t kMatchLimit = 50'000'000;
constexpr uint32_t kHeapLimitKiB = 512 << 10;
constexpr size_t kJitStackBytes = 32 << 20;  // reserved; used pages only
// A hostile expression can cost the whole rest of the text at every match.
constexpr std::chrono::seconds kCutLimit{20};
constexpr int kMatchesPerClockReading = 64;

template <auto free_function>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    free_function(object);
  }
};
using CodePtr = std::unique_ptr<pcre2_code, Freer<pcre2_code_free>>;
using CompileContextPtr =
    std::unique_ptr<pcre2_compile_context, Freer<pcre2_compile_context_free>>;
using MatchContextPtr =
    std::unique_ptr<pcre2_match_context, Freer<pcre2_match_context_free>>;
using MatchDataPtr =
    std::unique_ptr<pcre2_match_data, Freer<pcre2_match_data_free>>;
using JitStackPtr =
    std::unique_ptr<pcre2_jit_stack, Freer<pcre2_jit_stack_free>>;

// What one thread needs to match any pattern.
struct Workspace {
  JitStackPtr stack{pcre2_jit_stack_create(32 << 10, kJitStackBytes, nullptr)};
  MatchContextPtr context{pcre2_match_context_create(nullptr)};
  MatchDataPtr data{pcre2_match_data_create(1, nullptr)};

  Workspace() {
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_set_heap_limit(context.get(), kHeapLimitKiB);
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
};

std::string ErrorText(int code) {
  PCRE2_UCHAR buffer[256] = {};
  pcre2_get_error_message(code, buffer, sizeof(buffer));
  return reinterpret_cast<const char*>(buffer);
}

absl::Status TooSlow(std::string_view text, std::string_view why) {
  return base::InvalidArgument(
      "PATTERN_TOO_SLOW", "",
      base::Cat("a regular expression of the tokenizer gave up on ",
                text.size(), " bytes of text: ", why),
      {{"bytes", base::Cat(text.size())}});
}

}  // namespace

struct Pattern::Code {
  CodePtr compiled;

  // The next match at or after `from`, as (begin, end).
  absl::StatusOr<std::optional<std::pair<size_t, size_t>>> Next(
      std::string_view text, size_t from, const Workspace& workspace) const {
    const auto run = [&](uint32_t options) {
      return pcre2_match(compiled.get(),
                         reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                         from, options | PCRE2_NO_UTF_CHECK,
                         workspace.data.get(), workspace.context.get());
    };
    int result = run(0);
    // The interpreter keeps its frames on the heap, so it can go deeper.
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = run(PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) {
      return std::optional<std::pair<size_t, size_t>>();
    }
    if (result < 0) return TooSlow(text, ErrorText(result));
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(workspace.data.get());
    // \K or a lookbehind can move the start beyond the end or before `from`.
    if (bounds[0] < from || bounds[1] < bounds[0]) {
      return TooSlow(text, "a match starts before the search");
    }
    return std::optional(std::pair<size_t, size_t>(bounds[0], bounds[1]));
  }
};

absl::StatusOr<Pattern> Pattern::Compile(std::string_view pcre2, bool literal) {
  CompileContextPtr context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context.get(), 100);
  const uint32_t options = PCRE2_UTF | (literal ? PCRE2_LITERAL
                                                : PCRE2_UCP | PCRE2_MULTILINE |
                                                      PCRE2_NEVER_BACKSLASH_C);
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto code = std::make_shared<Code>();
  code->compiled.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pcre2.data()),
                                     pcre2.size(), options, &error, &offset,
                                     context.get()));
  if (code->compiled == nullptr) {
    return absl::InvalidArgumentError(base::Cat(
        "the regular expression does not compile: ", ErrorText(error)));
  }
  // Without just-in-time code the interpreter serves, only slower.
  pcre2_jit_compile(code->compiled.get(), PCRE2_JIT_COMPLETE);
  return Pattern(std::move(code));
}

absl::StatusOr<Pattern> Pattern::Regex(std::string_view expression,
                                       const Place& place) {
  if (expression.size() > kMaxExpressionBytes) {
    return BadTokenizer(
        place, base::Cat("a regular expression of ", expression.size(),
                         " bytes: want at most ", kMaxExpressionBytes));
  }
  absl::StatusOr<std::string> translated = TranslatePattern(expression);
  if (!translated.ok()) {
    return BadTokenizer(place, base::MessageOf(translated.status()));
  }
  absl::StatusOr<Pattern> pattern = Compile(*translated, /*literal=*/false);
  if (pattern.ok()) return pattern;
  return BadTokenizer(place, base::MessageOf(pattern.status()));
}

absl::StatusOr<Pattern> Pattern::Literal(std::string_view text,
                                         const Place& place) {
  absl::StatusOr<Pattern> pattern = Compile(text, /*literal=*/true);
  if (pattern.ok()) return pattern;
  return BadTokenizer(place, base::MessageOf(pattern.status()));
}

absl::StatusOr<Pattern> Pattern::Read(const Json& value, const Place& place) {
  ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Of(value, place));
  RETURN_IF_ERROR(object.OnlyHas({"Regex", "String"}));
  ASSIGN_OR_RETURN(const auto regex, object.OptionalString("Regex"));
  ASSIGN_OR_RETURN(const auto literal, object.OptionalString("String"));
  if (regex.has_value() == literal.has_value()) {
    return BadTokenizer(place, "want either Regex or String");
  }
  return regex ? Regex(*regex, place.Member("Regex"))
               : Literal(*literal, place.Member("String"));
}

Pattern Pattern::Known(std::string_view pcre2) {
  absl::StatusOr<Pattern> pattern = Compile(pcre2, /*literal=*/false);
  INVARIANT(pattern.ok());
  return *std::move(pattern);
}

bool Pattern::MayMatchEmpty() const {
  uint32_t may = 1;
  pcre2_pattern_info(code_->compiled.get(), PCRE2_INFO_MATCHEMPTY, &may);
  return may != 0;
}

absl::StatusOr<std::vector<Span>> Pattern::Cut(std::string_view text) const {
  thread_local const Workspace workspace;
  std::vector<Span> spans;
  const Clock::time_point deadline = Clock::now() + kCutLimit;
  size_t done = 0;  // spans cover [0, done)
  size_t from = 0;
  std::optional<size_t> last_end;
  for (int matches = 1; from <= text.size() && !text.empty(); ++matches) {
    if (matches % kMatchesPerClockReading == 0 && Clock::now() > deadline) {
      return TooSlow(
          text, base::Cat("it took more than ", kCutLimit.count(), " seconds"));
    }
    ASSIGN_OR_RETURN(const auto found, code_->Next(text, from, workspace));
    if (!found) break;
    const auto [begin, end] = *found;
    // As Oniguruma's callers do: an empty match right behind the last match
    // does not count, and the search goes on one character further.
    if (begin == end && last_end == end) {
      from = end < text.size() ? end + NextUtf8(text, end).size : end + 1;
      continue;
    }
    if (done < begin) spans.push_back({.begin = done, .end = begin});
    spans.push_back({.begin = begin, .end = end, .match = true});
    done = from = end;
    last_end = end;
  }
  if (done < text.size()) spans.push_back({.begin = done, .end = text.size()});
  return spans;
}

}  // namespace spar::models::text
