#include "tests/service/rich_error.h"

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

namespace spar::testing {

RichError Decode(const grpc::Status& status) {
  RichError error;
  google::rpc::Status rich;
  EXPECT_TRUE(rich.ParseFromString(status.error_details()));
  error.code = rich.code();
  error.message = rich.message();
  error.num_details = rich.details_size();
  for (const auto& detail : rich.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad;
    google::rpc::RetryInfo retry;
    google::rpc::ResourceInfo resource;
    if (detail.UnpackTo(&info)) {
      error.reason = info.reason();
      error.domain = info.domain();
      error.metadata = {info.metadata().begin(), info.metadata().end()};
    } else if (detail.UnpackTo(&bad)) {
      EXPECT_EQ(bad.field_violations_size(), 1);
      error.field = bad.field_violations(0).field();
      error.description = bad.field_violations(0).description();
    } else if (detail.UnpackTo(&retry)) {
      error.retry_seconds = static_cast<double>(retry.retry_delay().seconds());
    } else if (detail.UnpackTo(&resource)) {
      error.resource = resource.resource_name();
    } else {
      ADD_FAILURE() << "unknown detail " << detail.type_url();
    }
  }
  return error;
}

}  // namespace spar::testing
