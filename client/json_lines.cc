#include "client/json_lines.h"

#include "client/text.h"
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include "base/status.h"

namespace spar::client {
namespace {

using google::protobuf::Struct;

void Set(Struct& object, const std::string& key, std::string_view value) {
  if (value.empty()) return;
  (*object.mutable_fields())[key].set_string_value(std::string(value));
}

}  // namespace

absl::StatusOr<std::string> JsonLine(const google::protobuf::Message& message) {
  std::string line;
  const auto status =
      google::protobuf::util::MessageToJsonString(message, &line);
  if (!status.ok()) {
    return absl::InternalError(base::AbslView(
        base::Cat("a ", message.GetTypeName(), " cannot be written as JSON")));
  }
  return line + "\n";
}

std::string ErrorJsonLine(const absl::Status& error) {
  const base::ErrorDetail detail =
      base::DetailOf(error).value_or(base::ErrorDetail{});
  Struct body;
  Set(body, "code", absl::StatusCodeToString(error.code()));
  Set(body, "reason", detail.reason);
  Set(body, "field", detail.field);
  Set(body, "message", Escaped(base::MessageOf(error)));
  if (!detail.metadata.empty()) {
    Struct& metadata =
        *(*body.mutable_fields())["metadata"].mutable_struct_value();
    for (const auto& [key, value] : detail.metadata) {
      (*metadata.mutable_fields())[key].set_string_value(value);
    }
  }
  Struct line;
  *(*line.mutable_fields())["error"].mutable_struct_value() = body;
  // Strings alone, and of valid UTF-8: this cannot fail.
  return JsonLine(line).value_or("{\"error\":{}}\n");
}

std::string ErrorText(const absl::Status& error) {
  const base::ErrorDetail detail =
      base::DetailOf(error).value_or(base::ErrorDetail{});
  std::string text = absl::StatusCodeToString(error.code());
  if (!detail.reason.empty()) text += base::Cat(": ", detail.reason);
  if (!detail.field.empty()) text += base::Cat(" at ", detail.field);
  return Escaped(base::Cat(text, ": ", base::MessageOf(error)));
}

}  // namespace spar::client
