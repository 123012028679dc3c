// L0. Time as a dependency, so that tests own it.
#pragma once

#include <chrono>

#include "base/mutex.h"

namespace spar::base {

// Monotonic time. Thread-safe.
class Clock {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  virtual ~Clock() = default;
  virtual TimePoint Now() const = 0;

  // The process's steady clock. Lives forever.
  static const Clock* Real();
};

// Stands still until told to move. Thread-safe.
class FakeClock final : public Clock {
 public:
  TimePoint Now() const override;
  void Advance(std::chrono::nanoseconds by);

 private:
  mutable Mutex mu_;
  TimePoint now_ ABSL_GUARDED_BY(mu_) = TimePoint{};
};

}  // namespace spar::base
