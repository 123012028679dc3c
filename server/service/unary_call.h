// L5. One unary call: counted from its construction until gRPC is done with it.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include <grpcpp/support/server_callback.h>

#include "server/service/call_ledger.h"
#include "server/service/errors.h"

namespace spar::service {

// Owned by gRPC; deletes itself in OnDone. Call Answer once, from any thread,
// after the response is filled; touch neither afterwards.
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  // `ledger` outlives the call; `method` is a literal.
  UnaryCall(CallLedger* ledger, std::string_view method)
      : ledger_(ledger), method_(method), admission_(ledger->Begin(method)) {}

  // Not ok while the server drains: then answer with it.
  const absl::Status& admission() const { return admission_; }

  void Answer(const absl::Status& status) {
    code_ = static_cast<grpc::StatusCode>(status.code());
    Finish(ToGrpc(status));
  }

  void OnDone() override {
    ledger_->End(method_, code_);
    delete this;
  }

 private:
  CallLedger* const ledger_;
  const std::string_view method_;
  const absl::Status admission_;
  grpc::StatusCode code_ = grpc::StatusCode::OK;  // set before Finish
};

}  // namespace spar::service
