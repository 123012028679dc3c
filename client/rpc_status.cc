#include "client/rpc_status.h"

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

#include "base/status.h"

namespace spar::client {

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  google::rpc::Status rich;
  base::ErrorDetail detail;
  if (rich.ParseFromString(status.error_details())) {
    for (const google::protobuf::Any& any : rich.details()) {
      google::rpc::ErrorInfo info;
      google::rpc::BadRequest bad;
      if (any.UnpackTo(&info)) {
        detail.reason = info.reason();
        detail.metadata.insert(info.metadata().begin(), info.metadata().end());
      } else if (any.UnpackTo(&bad) && bad.field_violations_size() > 0) {
        detail.field = bad.field_violations(0).field();
      }
    }
  }
  if (detail.reason.empty()) {
    return absl::Status(code, base::AbslView(status.error_message()));
  }
  return base::Error(code, status.error_message(), detail);
}

}  // namespace spar::client
