// L1, tokenizers. Normal forms by utf8proc; the only file that sees it.
#include "models/text/normal_form.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include <utf8proc.h>

#include "base/status.h"
#include "models/text/unicode_additions.h"
#include "models/text/utf8.h"

namespace spar::models::text {
namespace {

// Below this every character is its own normal form C and starts a cluster.
constexpr unsigned char kFirstThatMayChange = 0xCC;  // lead byte of U+0300
constexpr size_t kLongRun = 16;

int CombiningClass(char32_t code_point) {
  return utf8proc_get_property(static_cast<utf8proc_int32_t>(code_point))
      ->combining_class;
}

// Sorts long runs of combining marks by class. The result is canonically
// equivalent; utf8proc sorts by insertion, which takes quadratic time on runs
// that are long and out of order, and linear time on ones already sorted.
std::string SortLongRuns(std::string_view text) {
  std::string sorted;
  std::vector<std::pair<int, char32_t>> run;
  const auto flush = [&] {
    if (run.size() > kLongRun) {
      std::stable_sort(
          run.begin(), run.end(),
          [](const auto& a, const auto& b) { return a.first < b.first; });
    }
    for (const auto& mark : run) AppendUtf8(mark.second, &sorted);
    run.clear();
  };
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = NextUtf8(text, at);
    at += step.size;
    const int combining = CombiningClass(step.code_point);
    if (combining != 0) {
      run.emplace_back(combining, step.code_point);
    } else {
      flush();
      AppendUtf8(step.code_point, &sorted);
    }
  }
  flush();
  return sorted;
}

int OptionsOf(NormalForm form) {
  switch (form) {
    case NormalForm::kC:
      return UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    case NormalForm::kD:
      return UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    case NormalForm::kKC:
      return UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT;
    case NormalForm::kKD:
      break;
  }
  return UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT;
}

bool IsUnchanged(NormalForm form, std::string_view text) {
  const unsigned char first =
      form == NormalForm::kC ? kFirstThatMayChange : 0x80;
  return std::all_of(text.begin(), text.end(), [first](char byte) {
    const auto value = static_cast<unsigned char>(byte);
    return value < first;  // continuation bytes are below every such lead
  });
}

std::string Normalize(NormalForm form, std::string_view text) {
  if (IsUnchanged(form, text)) return std::string(text);
  const std::string sorted = SortLongRuns(text);
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(sorted.data()),
                   static_cast<utf8proc_ssize_t>(sorted.size()), &mapped,
                   static_cast<utf8proc_option_t>(OptionsOf(form)));
  INVARIANT(size >= 0);  // fails on invalid UTF-8 and without memory only
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(
      mapped, &std::free);
  return std::string(reinterpret_cast<const char*>(mapped),
                     static_cast<size_t>(size));
}

}  // namespace

std::optional<NormalForm> NormalFormNamed(std::string_view name) {
  if (name == "NFC") return NormalForm::kC;
  if (name == "NFD") return NormalForm::kD;
  if (name == "NFKC") return NormalForm::kKC;
  if (name == "NFKD") return NormalForm::kKD;
  return std::nullopt;
}

std::string ToNormalForm(NormalForm form, std::string_view text) {
  std::string normal;
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = NextUtf8(text, at);
    if (IsInert(step.code_point)) {
      normal += Normalize(form, text.substr(done, at - done));
      normal += text.substr(at, step.size);
      done = at + step.size;
    }
    at += step.size;
  }
  return normal + Normalize(form, text.substr(done));
}

std::string ToLower(std::string_view text) {
  std::string lower;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = NextUtf8(text, at);
    at += step.size;
    if (const auto added = AddedLower(step.code_point)) {
      AppendUtf8(*added, &lower);
    } else if (step.code_point ==
               0x130) {  // the one that becomes two characters
      lower += "i\xCC\x87";
    } else {
      AppendUtf8(static_cast<char32_t>(utf8proc_tolower(
                     static_cast<utf8proc_int32_t>(step.code_point))),
                 &lower);
    }
  }
  return lower;
}

}  // namespace spar::models::text
