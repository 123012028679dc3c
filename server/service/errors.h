// L5. Errors on the wire: absl::Status to grpc::Status with google.rpc details.
#pragma once

#include "absl/status/status.h"
#include <grpcpp/support/status.h>

namespace spar::service {

inline constexpr char kErrorDomain[] = "spar.dev";

// The same code and message. An error carries a serialised google.rpc.Status
// whose details are: always an ErrorInfo (the reason of base::ErrorDetail, or
// the code's own name); for INVALID_ARGUMENT with a field a BadRequest; for
// RESOURCE_EXHAUSTED and UNAVAILABLE a RetryInfo; for NOT_FOUND a ResourceInfo.
// Text is cut so that the whole fits in the trailers (limits.h).
grpc::Status ToGrpc(const absl::Status& status);

}  // namespace spar::service
