// L5. One line of protobuf JSON per message, for programs.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include <google/protobuf/message.h>

namespace spar::client {

// proto3's JSON mapping with its newline: lowerCamelCase names, fields at
// their default left out, 64-bit integers as strings. kInternal for what JSON
// cannot say, such as a duration out of its range.
absl::StatusOr<std::string> JsonLine(const google::protobuf::Message& message);

// {"error":{"code":"NOT_FOUND","reason":...,"field":...,"message":...,
// "metadata":{...}}} with its newline; what is empty is left out.
std::string ErrorJsonLine(const absl::Status& error);

// "NOT_FOUND: MODEL_NOT_FOUND at model: there is no ...", escaped.
std::string ErrorText(const absl::Status& error);

}  // namespace spar::client
