#include "base/clock.h"

namespace spar::base {
namespace {

class RealClock final : public Clock {
 public:
  TimePoint Now() const override { return std::chrono::steady_clock::now(); }
};

}  // namespace

const Clock* Clock::Real() {
  static const RealClock clock;
  return &clock;
}

Clock::TimePoint FakeClock::Now() const {
  MutexLock lock(mu_);
  return now_;
}

void FakeClock::Advance(std::chrono::nanoseconds by) {
  MutexLock lock(mu_);
  now_ += by;
}

}  // namespace spar::base
