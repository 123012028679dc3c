// L5. gRPC's status as ours: code, message, reason, field and metadata.
#pragma once

#include "absl/status/status.h"
#include <grpcpp/support/status.h>

namespace spar::client {

// Decodes the google.rpc.Status that spard attaches to its errors (ErrorInfo
// and the first BadRequest violation). base::DetailOf reads the result. An
// error without details, for example of the transport, keeps code and message.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace spar::client
