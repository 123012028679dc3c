#include "base/mutex.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace spar::base {
namespace {

class Counter {
 public:
  void Increment() {
    MutexLock lock(mu_);
    ++count_;
    changed_.NotifyAll();
  }
  int AwaitAtLeast(int wanted) {
    MutexLock lock(mu_);
    while (count_ < wanted) changed_.Wait(mu_);
    return count_;
  }
  bool AwaitUntil(std::chrono::steady_clock::time_point deadline) {
    MutexLock lock(mu_);
    return changed_.WaitUntil(mu_, deadline);
  }

 private:
  Mutex mu_;
  CondVar changed_;
  int count_ ABSL_GUARDED_BY(mu_) = 0;
};

TEST(Mutex, LosesNoIncrementOfFourThreads) {
  Counter counter;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&counter] {
        for (int i = 0; i < 1000; ++i) counter.Increment();
      });
    }
    EXPECT_EQ(counter.AwaitAtLeast(4000), 4000);
  }
}

TEST(CondVar, ReportsADeadlineThatPassed) {
  Counter counter;
  EXPECT_FALSE(counter.AwaitUntil(std::chrono::steady_clock::now()));
}

}  // namespace
}  // namespace spar::base
