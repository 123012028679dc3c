#include "server/service/errors.h"

#include <string>
#include <string_view>
#include <utility>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

#include "base/status.h"
#include "server/service/clean_text.h"
#include "server/service/limits.h"

namespace spar::service {
namespace {

constexpr int kRetrySeconds = 1;

std::string_view CodeName(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kCancelled:
      return "CANCELLED";
    case absl::StatusCode::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case absl::StatusCode::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case absl::StatusCode::kNotFound:
      return "NOT_FOUND";
    case absl::StatusCode::kAlreadyExists:
      return "ALREADY_EXISTS";
    case absl::StatusCode::kPermissionDenied:
      return "PERMISSION_DENIED";
    case absl::StatusCode::kResourceExhausted:
      return "RESOURCE_EXHAUSTED";
    case absl::StatusCode::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case absl::StatusCode::kAborted:
      return "ABORTED";
    case absl::StatusCode::kOutOfRange:
      return "OUT_OF_RANGE";
    case absl::StatusCode::kUnimplemented:
      return "UNIMPLEMENTED";
    case absl::StatusCode::kInternal:
      return "INTERNAL";
    case absl::StatusCode::kUnavailable:
      return "UNAVAILABLE";
    case absl::StatusCode::kDataLoss:
      return "DATA_LOSS";
    case absl::StatusCode::kUnauthenticated:
      return "UNAUTHENTICATED";
    default:
      return "UNKNOWN";
  }
}

void AddErrorInfo(absl::StatusCode code,
                  const base::ErrorDetail& detail,
                  google::rpc::Status* rich) {
  google::rpc::ErrorInfo info;
  info.set_domain(kErrorDomain);
  info.set_reason(detail.reason.empty() ? std::string(CodeName(code))
                                        : detail.reason);
  int count = 0;
  for (const auto& [key, value] : detail.metadata) {
    if (++count > kMaxErrorValues) break;
    (*info.mutable_metadata())[CleanText(key, 64)] =
        CleanText(value, kMaxErrorValueBytes);
  }
  rich->add_details()->PackFrom(info);
}

void AddBadRequest(const std::string& field, google::rpc::Status* rich) {
  google::rpc::BadRequest bad;
  auto* violation = bad.add_field_violations();
  violation->set_field(CleanText(field, kMaxErrorValueBytes));
  violation->set_description(rich->message());
  rich->add_details()->PackFrom(bad);
}

void AddRetryInfo(google::rpc::Status* rich) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(kRetrySeconds);
  rich->add_details()->PackFrom(retry);
}

// What is not there is a decomposition or a model.
void AddResourceInfo(const base::ErrorDetail& detail,
                     google::rpc::Status* rich) {
  google::rpc::ResourceInfo resource;
  const bool decomposition = detail.metadata.count("decomposition") > 0;
  resource.set_resource_type(decomposition ? "spar.v1.Decomposition"
                                           : "spar.v1.Model");
  const auto name =
      detail.metadata.find(decomposition ? "decomposition" : "model");
  if (name != detail.metadata.end()) {
    resource.set_resource_name(CleanText(name->second, kMaxErrorValueBytes));
  }
  resource.set_description(rich->message());
  rich->add_details()->PackFrom(resource);
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const base::ErrorDetail detail =
      base::DetailOf(status).value_or(base::ErrorDetail{});
  google::rpc::Status rich;
  rich.set_code(static_cast<int>(status.code()));
  rich.set_message(CleanText(base::MessageOf(status), kMaxErrorMessageBytes));
  AddErrorInfo(status.code(), detail, &rich);
  if (status.code() == absl::StatusCode::kInvalidArgument &&
      !detail.field.empty()) {
    AddBadRequest(detail.field, &rich);
  }
  if (status.code() == absl::StatusCode::kResourceExhausted ||
      status.code() == absl::StatusCode::kUnavailable) {
    AddRetryInfo(&rich);
  }
  if (status.code() == absl::StatusCode::kNotFound) {
    AddResourceInfo(detail, &rich);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      rich.message(), rich.SerializeAsString());
}

}  // namespace spar::service
