// L5. The calls in progress: counted, reported, and refused once draining.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include <grpcpp/support/status.h>

#include "base/mutex.h"

namespace spar::service {

// Told of every call that ends, on gRPC's threads; must not block.
using OnCallEnd =
    std::function<void(std::string_view method, grpc::StatusCode)>;

// Thread-safe.
class CallLedger {
 public:
  explicit CallLedger(OnCallEnd on_end) : on_end_(std::move(on_end)) {}

  // Every Begin is answered by one End, also when it says kUnavailable
  // (DRAINING), which the call must then answer with. `method` is a literal.
  absl::Status Begin(std::string_view method);
  void End(std::string_view method, grpc::StatusCode code);

  // Of `max_places` that the calls of a method have to work in:
  // kResourceExhausted (TOO_MANY_CALLS) when all are taken. Every place taken
  // is left once, before the client can learn that its call is over: gRPC ends
  // a call some time after that, when the next may have begun.
  absl::Status TakePlace(std::string_view method, int max_places);
  void LeavePlace(std::string_view method);

  // Refuses what begins from here on.
  void Drain();
  // False when calls are still in progress at `deadline`.
  bool WaitUntilEmpty(std::chrono::steady_clock::time_point deadline);
  int live() const;
  std::map<std::string_view, int> live_by_method() const;

 private:
  const OnCallEnd on_end_;  // may be empty

  mutable base::Mutex mu_;
  base::CondVar empty_;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  int live_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string_view, int> live_by_method_ ABSL_GUARDED_BY(mu_);
  std::map<std::string_view, int> taken_by_method_ ABSL_GUARDED_BY(mu_);
};

}  // namespace spar::service
