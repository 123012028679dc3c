#include "client/json_lines.h"

#include <string>

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "spar/v1/model_service.pb.h"

namespace spar::client {
namespace {

using google::protobuf::Struct;

// What is under "error" in a line of JSON.
Struct ErrorOf(const std::string& line) {
  EXPECT_TRUE(line.ends_with("}\n"));
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  Struct parsed;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(line, &parsed).ok());
  return parsed.fields().at("error").struct_value();
}

TEST(JsonLine, IsOneLineOfProtobufJson) {
  v1::Model model;
  model.set_name("models/a\nb");
  model.set_layer_count(2);
  model.set_parameter_count(5);
  EXPECT_EQ(JsonLine(model).value(),
            "{\"name\":\"models/a\\nb\",\"layerCount\":2,"
            "\"parameterCount\":\"5\"}\n");
}

TEST(JsonLine, RefusesWhatJsonCannotSay) {
  v1::Model model;
  model.mutable_load_time()->set_seconds(int64_t{1} << 60);
  EXPECT_EQ(JsonLine(model).status().code(), absl::StatusCode::kInternal);
}

TEST(ErrorJsonLine, CarriesReasonFieldAndMetadata) {
  const absl::Status error =
      base::InvalidArgument("PROMPT_TOO_LONG", "prompt.text",
                            "70 tokens, at most 64", {{"tokens", "70"}});
  const Struct body = ErrorOf(ErrorJsonLine(error));
  EXPECT_EQ(body.fields_size(), 5);
  EXPECT_EQ(body.fields().at("code").string_value(), "INVALID_ARGUMENT");
  EXPECT_EQ(body.fields().at("reason").string_value(), "PROMPT_TOO_LONG");
  EXPECT_EQ(body.fields().at("field").string_value(), "prompt.text");
  EXPECT_EQ(body.fields().at("message").string_value(),
            "70 tokens, at most 64");
  const Struct& metadata = body.fields().at("metadata").struct_value();
  EXPECT_EQ(metadata.fields().at("tokens").string_value(), "70");
}

TEST(ErrorJsonLine, WritesAMessageThatIsNoUtf8) {
  const Struct body = ErrorOf(ErrorJsonLine(absl::InternalError("a\xff")));
  EXPECT_EQ(body.fields_size(), 2);
  EXPECT_EQ(body.fields().at("message").string_value(), "a\\xff");
}

TEST(ErrorText, NamesTheFieldAtFault) {
  EXPECT_EQ(ErrorText(base::InvalidArgument("EMPTY_PROMPT", "prompt", "none")),
            "INVALID_ARGUMENT: EMPTY_PROMPT at prompt: none");
  EXPECT_EQ(ErrorText(absl::UnavailableError("gone\x1b")),
            "UNAVAILABLE: gone\\x1b");
}

}  // namespace
}  // namespace spar::client
