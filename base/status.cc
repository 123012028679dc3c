#include "base/status.h"

#include <cstdio>
#include <cstdlib>

#include "absl/strings/cord.h"

namespace spar::base {
namespace {

constexpr char kReason[] = "spar.dev/reason";
constexpr char kField[] = "spar.dev/field";
constexpr char kMetadataPrefix[] = "spar.dev/metadata/";

}  // namespace

absl::Status Error(absl::StatusCode code,
                   std::string_view message,
                   const ErrorDetail& detail) {
  absl::Status status(code, AbslView(message));
  status.SetPayload(kReason, absl::Cord(detail.reason));
  if (!detail.field.empty()) {
    status.SetPayload(kField, absl::Cord(detail.field));
  }
  for (const auto& [key, value] : detail.metadata) {
    status.SetPayload(absl::StrCat(kMetadataPrefix, key), absl::Cord(value));
  }
  return status;
}

absl::Status InvalidArgument(
    std::string_view reason,
    std::string_view field,
    std::string_view message,
    const std::map<std::string, std::string>& metadata) {
  return Error(absl::StatusCode::kInvalidArgument, message,
               {.reason = std::string(reason),
                .field = std::string(field),
                .metadata = metadata});
}

std::optional<ErrorDetail> DetailOf(const absl::Status& status) {
  if (!status.GetPayload(kReason).has_value()) return std::nullopt;
  ErrorDetail detail;
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& value) {
    const std::string_view key = StdView(url);
    constexpr std::string_view prefix = kMetadataPrefix;
    if (key == kReason) {
      detail.reason = std::string(value);
    } else if (key == kField) {
      detail.field = std::string(value);
    } else if (key.starts_with(prefix)) {
      detail.metadata[std::string(key.substr(prefix.size()))] =
          std::string(value);
    }
  });
  return detail;
}

absl::Status Annotate(const absl::Status& status, std::string_view prefix) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), Cat(prefix, ": ", MessageOf(status)));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& value) {
    annotated.SetPayload(url, value);
  });
  return annotated;
}

void Die(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, condition);
  std::abort();
}

}  // namespace spar::base
