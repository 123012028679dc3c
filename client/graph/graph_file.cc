#include "client/graph/graph_file.h"

#include <utility>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/json_util.h>

#include "base/status.h"

namespace spar::client {
namespace {

absl::Status CannotWrite(std::string_view form) {
  return absl::InternalError(
      base::AbslView(base::Cat("the graph cannot be written as ", form)));
}

}  // namespace

absl::StatusOr<std::string> GraphToProtobuf(const GraphView& view) {
  std::string bytes;
  bool whole = false;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream output(&stream);
    output.SetSerializationDeterministic(true);
    whole = view.message().SerializeToCodedStream(&output);
  }
  if (!whole) return CannotWrite("protobuf");
  return bytes;
}

absl::StatusOr<std::string> GraphToJson(const GraphView& view) {
  std::string line;
  const auto status =
      google::protobuf::util::MessageToJsonString(view.message(), &line);
  if (!status.ok()) return CannotWrite("JSON");
  return line + "\n";
}

absl::StatusOr<GraphView> GraphFromBytes(std::string_view bytes) {
  v1::AttributionGraph message;
  const size_t first = bytes.find_first_not_of(" \t\r\n");
  const bool is_json = first != bytes.npos && bytes[first] == '{';
  const bool read = is_json ? google::protobuf::util::JsonStringToMessage(
                                  std::string(bytes), &message)
                                  .ok()
                            : message.ParseFromArray(
                                  bytes.data(), static_cast<int>(bytes.size()));
  if (!read) {
    return base::InvalidArgument(
        "BAD_GRAPH", "",
        base::Cat("it is no spar.v1.AttributionGraph in ",
                  is_json ? "JSON" : "protobuf"));
  }
  return GraphView::Make(std::move(message));
}

}  // namespace spar::client
