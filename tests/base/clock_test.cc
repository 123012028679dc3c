#include "base/clock.h"

#include "gtest/gtest.h"

namespace spar::base {
namespace {

TEST(FakeClock, MovesOnlyWhenTold) {
  FakeClock clock;
  const auto start = clock.Now();
  EXPECT_EQ(clock.Now(), start);
  clock.Advance(std::chrono::milliseconds(5));
  EXPECT_EQ(clock.Now() - start, std::chrono::milliseconds(5));
}

TEST(RealClock, NeverGoesBack) {
  const auto first = Clock::Real()->Now();
  EXPECT_GE(Clock::Real()->Now(), first);
}

}  // namespace
}  // namespace spar::base
