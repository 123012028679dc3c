#include "server/service/call_ledger.h"

#include "base/status.h"

namespace spar::service {

absl::Status CallLedger::Begin(std::string_view method) {
  base::MutexLock lock(mu_);
  ++live_by_method_[method];
  ++live_;
  if (!draining_) return absl::OkStatus();
  const base::ErrorDetail detail{.reason = "DRAINING"};
  return base::Error(absl::StatusCode::kUnavailable,
                     "the server is stopping and takes no new calls", detail);
}

void CallLedger::End(std::string_view method, grpc::StatusCode code) {
  if (on_end_) on_end_(method, code);
  base::MutexLock lock(mu_);
  --live_by_method_[method];
  if (--live_ == 0) empty_.NotifyAll();
}

void CallLedger::Drain() {
  base::MutexLock lock(mu_);
  draining_ = true;
}

bool CallLedger::WaitUntilEmpty(
    std::chrono::steady_clock::time_point deadline) {
  base::MutexLock lock(mu_);
  while (live_ > 0) {
    if (!empty_.WaitUntil(mu_, deadline)) return live_ == 0;
  }
  return true;
}

int CallLedger::live() const {
  base::MutexLock lock(mu_);
  return live_;
}

std::map<std::string_view, int> CallLedger::live_by_method() const {
  base::MutexLock lock(mu_);
  return live_by_method_;
}

}  // namespace spar::service
