#include "client/interrupt.h"

#include <condition_variable>
#include <mutex>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

namespace spar::client {
namespace {

void WaitForStop(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock lock(mutex);
  stopped.wait(lock, stop, [] { return false; });
}

// Each runs in a process of its own: it takes over the process's signals.
TEST(InterruptDeathTest, EndsTheProcessWhileNothingIsArmed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        Interrupt interrupt;
        kill(getpid(), SIGINT);
        WaitForStop(std::stop_token());
      },
      testing::ExitedWithCode(130), "");
}

TEST(InterruptDeathTest, RequestsStopOnceArmedAndEndsAtTheSecondSignal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        Interrupt interrupt;
        const std::stop_token stop = interrupt.Arm();
        kill(getpid(), SIGINT);
        WaitForStop(stop);
        std::fputs("stopped", stderr);
        kill(getpid(), SIGTERM);
        WaitForStop(std::stop_token());
      },
      testing::ExitedWithCode(143), "stopped");
}

TEST(InterruptDeathTest, EndsQuietlyWithoutASignal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        { Interrupt interrupt; }
        std::exit(7);
      },
      testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace spar::client
