// What a client learns from an error: its google.rpc.Status, taken apart.
#pragma once

#include <map>
#include <string>

#include <grpcpp/support/status.h>

namespace spar::testing {

struct RichError {
  int code = 0;
  std::string message = {};
  std::string reason = {};
  std::string domain = {};
  std::map<std::string, std::string> metadata = {};
  std::string field = {};        // of BadRequest; empty without one
  std::string description = {};  // of BadRequest
  double retry_seconds = -1;     // of RetryInfo; -1 without one
  std::string resource = {};     // of ResourceInfo
  int num_details = 0;
};

RichError Decode(const grpc::Status& status);

}  // namespace spar::testing
