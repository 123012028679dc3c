#include "models/snapshot/reference_prompts.h"

#include <map>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "models/snapshot/model_file.h"
#include "models/snapshot/utf8.h"

namespace spar::models {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr std::string_view kBlanks = " \t\v\f";

absl::Status BadLine(const std::filesystem::path& path,
                     size_t line,
                     std::string_view problem,
                     std::map<std::string, std::string> metadata = {}) {
  metadata["file"] = path.string();
  metadata["line"] = std::to_string(line);
  return base::InvalidArgument(
      "BAD_REFERENCE_PROMPTS", "",
      base::Cat(path.string(), ":", line, ": ", problem), metadata);
}

absl::Status CheckPrompt(const std::filesystem::path& path,
                         size_t line,
                         std::string_view prompt) {
  if (prompt.size() > kMaxReferencePromptBytes) {
    return BadLine(path, line,
                   base::Cat("prompt of ", prompt.size(), " bytes, at most ",
                             kMaxReferencePromptBytes),
                   {{"size", std::to_string(prompt.size())},
                    {"limit", std::to_string(kMaxReferencePromptBytes)}});
  }
  if (!IsUtf8(prompt)) return BadLine(path, line, "not UTF-8");
  if (prompt.find('\0') != prompt.npos) return BadLine(path, line, "has a NUL");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ReadReferencePrompts(
    const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const std::string text,
                   ReadWholeFile(path, kMaxReferenceFileBytes));
  std::string_view rest = text;
  if (rest.starts_with(kByteOrderMark)) {
    rest.remove_prefix(kByteOrderMark.size());
  }
  std::vector<std::string> prompts;
  for (size_t line = 1; !rest.empty(); ++line) {
    const size_t end = rest.find('\n');
    std::string_view prompt = rest.substr(0, end);
    rest.remove_prefix(end == rest.npos ? rest.size() : end + 1);
    if (prompt.ends_with('\r')) prompt.remove_suffix(1);
    const bool blank = prompt.find_first_not_of(kBlanks) == prompt.npos;
    if (blank || prompt.starts_with('#')) continue;
    RETURN_IF_ERROR(CheckPrompt(path, line, prompt));
    if (prompts.size() == kMaxReferencePrompts) {
      return BadLine(path, line,
                     base::Cat("more than ", kMaxReferencePrompts, " prompts"),
                     {{"limit", std::to_string(kMaxReferencePrompts)}});
    }
    prompts.emplace_back(prompt);
  }
  return prompts;
}

}  // namespace spar::models
