#include "server/service/call_ledger.h"

#include "base/status.h"

namespace spar::service {

absl::Status CallLedger::Begin() {
  base::MutexLock lock(mu_);
  ++live_;
  if (!draining_) return absl::OkStatus();
  const base::ErrorDetail detail{.reason = "DRAINING"};
  return base::Error(absl::StatusCode::kUnavailable,
                     "the server is stopping and takes no new calls", detail);
}

void CallLedger::End(std::string_view method, grpc::StatusCode code) {
  if (on_end_) on_end_(method, code);
  base::MutexLock lock(mu_);
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

}  // namespace spar::service
