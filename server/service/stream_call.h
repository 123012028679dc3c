// L5. One call that streams its answer: counted from Admit until gRPC is done
// with it.
#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include <grpcpp/support/server_callback.h>

#include "base/status.h"
#include "server/service/call_ledger.h"
#include "server/service/errors.h"

namespace spar::service {

// Call derives from it. Lives until gRPC is done with it (OnDone) and whoever
// works for it has let go of its `self`.
template <typename Call, typename Response>
class StreamCall : public grpc::ServerWriteReactor<Response> {
 public:
  void OnDone() final {
    ledger_->End(method_, code_);
    // Last: may delete *this.
    std::shared_ptr<Call> self = std::move(self_);
  }

 protected:
  // `ledger` outlives the call; `method` is a literal.
  StreamCall(CallLedger* ledger, std::string_view method)
      : ledger_(ledger), method_(method) {}

  // First, once. What is not ok is the call's answer: End with it.
  absl::Status Admit(std::shared_ptr<Call> self) {
    self_ = std::move(self);
    return ledger_->Begin(method_);
  }
  // The same, where so many calls may work at once.
  absl::Status Admit(std::shared_ptr<Call> self, int max_places) {
    RETURN_IF_ERROR(Admit(std::move(self)));
    RETURN_IF_ERROR(ledger_->TakePlace(method_, max_places));
    has_place_ = true;
    return absl::OkStatus();
  }
  // Of the call, for those who work for it.
  const std::shared_ptr<Call>& self() const { return self_; }

  static absl::Status Cancelled() {
    return absl::CancelledError("the client cancelled, or its deadline passed");
  }

  // Both end the call; no write is on its way.
  void End(const absl::Status& status) {
    code_ = static_cast<grpc::StatusCode>(status.code());
    LeavePlace();
    this->Finish(ToGrpc(status));
  }
  // With response_ as the last message.
  void EndWithResponse() {
    LeavePlace();
    this->StartWriteAndFinish(&response_, grpc::WriteOptions(),
                              grpc::Status::OK);
  }

  // For a call whose work is over while its client still reads; else End does.
  void LeavePlace() {
    if (has_place_) ledger_->LeavePlace(method_);
    has_place_ = false;
  }

  Response response_ = {};  // of the one write on its way

 private:
  CallLedger* const ledger_;
  const std::string_view method_;
  grpc::StatusCode code_ = grpc::StatusCode::OK;  // set before Finish
  bool has_place_ = false;                        // until it ends
  std::shared_ptr<Call> self_ = nullptr;          // until OnDone
};

}  // namespace spar::service
