#include "base/bounded_queue.h"

#include <memory>
#include <thread>

#include "gtest/gtest.h"

namespace spar::base {
namespace {

TEST(BoundedQueue, HandsOutInOrder) {
  BoundedQueue<int> queue(3);
  EXPECT_TRUE(queue.Push(1));
  EXPECT_TRUE(queue.Push(2));
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.TryPop(), 2);
  EXPECT_EQ(queue.TryPop(), std::nullopt);
}

TEST(BoundedQueue, RefusesBeyondItsLimit) {
  BoundedQueue<int> queue(1);
  EXPECT_TRUE(queue.Push(1));
  EXPECT_FALSE(queue.Push(2));
  EXPECT_EQ(queue.size(), 1u);
}

TEST(BoundedQueue, HandsOutWhatIsLeftAfterClosing) {
  BoundedQueue<std::unique_ptr<int>> queue(2);
  EXPECT_TRUE(queue.Push(std::make_unique<int>(7)));
  queue.Close();
  EXPECT_FALSE(queue.Push(std::make_unique<int>(8)));
  auto left = queue.Pop();
  ASSERT_TRUE(left.has_value());
  EXPECT_EQ(**left, 7);
  EXPECT_FALSE(queue.Pop().has_value());
}

TEST(BoundedQueue, ClosingWakesAWaiter) {
  BoundedQueue<int> queue(1);
  std::jthread waiter([&queue] { EXPECT_FALSE(queue.Pop().has_value()); });
  queue.Close();
}

}  // namespace
}  // namespace spar::base
