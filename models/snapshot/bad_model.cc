#include "models/snapshot/bad_model.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"

#include "base/status.h"

namespace spar::models {
namespace {

constexpr char kReason[] = "BAD_MODEL";
constexpr size_t kQuotedBytes = 200;

absl::Status Refusal(absl::StatusCode code,
                     const std::filesystem::path& file,
                     std::string_view message,
                     std::map<std::string, std::string> metadata) {
  metadata["file"] = file.string();
  base::ErrorDetail detail{.reason = kReason, .metadata = std::move(metadata)};
  return base::Error(code, base::Cat(file.string(), ": ", message), detail);
}

}  // namespace

absl::Status BadModel(const std::filesystem::path& file,
                      std::string_view message,
                      std::map<std::string, std::string> metadata) {
  return Refusal(absl::StatusCode::kInvalidArgument, file, message,
                 std::move(metadata));
}

absl::Status MissingModelFile(const std::filesystem::path& file,
                              std::string_view message) {
  return Refusal(absl::StatusCode::kNotFound, file, message, {});
}

std::string Quoted(std::string_view text) {
  const bool cut = text.size() > kQuotedBytes;
  const std::string escaped =
      absl::CEscape(base::AbslView(text.substr(0, kQuotedBytes)));
  return base::Cat("'", escaped, cut ? "...'" : "'");
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ","), "]");
}

}  // namespace spar::models
