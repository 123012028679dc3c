#include "server/service/call_ledger.h"

#include "base/status.h"

namespace spar::service {

absl::Status CallLedger::Begin(std::string_view method) {
  base::MutexLock lock(mu_);
  ++live_by_method_[method];
  ++live_;
  if (!draining_) return absl::OkStatus();
  return base::Error(absl::StatusCode::kUnavailable,
                     "the server is stopping and takes no new calls",
                     {.reason = "DRAINING"});
}

void CallLedger::End(std::string_view method, grpc::StatusCode code) {
  if (on_end_) on_end_(method, code);
  base::MutexLock lock(mu_);
  --live_by_method_[method];
  if (--live_ == 0) empty_.NotifyAll();
}

absl::Status CallLedger::TakePlace(std::string_view method, int max_places) {
  base::MutexLock lock(mu_);
  int& taken = taken_by_method_[method];
  if (taken < max_places) {
    ++taken;
    return absl::OkStatus();
  }
  return base::Error(
      absl::StatusCode::kResourceExhausted,
      base::Cat("the server is answering ", max_places, " calls of ", method,
                ", as many as it may; ask again later"),
      {.reason = "TOO_MANY_CALLS",
       .metadata = {{"max_calls", base::Cat(max_places)}}});
}

void CallLedger::LeavePlace(std::string_view method) {
  base::MutexLock lock(mu_);
  --taken_by_method_[method];
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
