#include "server/schedule/batch_queue.h"

#include <algorithm>
#include <map>
#include <string>

#include "gtest/gtest.h"

namespace spar::schedule {
namespace {

using std::chrono::microseconds;

constexpr BatchQueue::TimePoint kStart{};

models::Row RowOf(int num_positions) {
  models::Row row;
  row.positions = models::IndexSet::All(num_positions);
  return row;
}

Request QueuedRequest(ClientId client,
                      int num_rows,
                      Sharing sharing = Sharing::kShared,
                      int num_positions = 1) {
  Request request;
  request.client = client;
  request.ticket = client;
  request.sharing = sharing;
  request.rows.assign(num_rows, RowOf(num_positions));
  return request;
}

std::map<ClientId, int> RowsByClient(const Batch& batch) {
  std::map<ClientId, int> rows;
  for (const Piece& piece : batch.pieces) {
    ++rows[piece.round->request.client];
  }
  return rows;
}

TEST(BatchQueue, FlushesAtOnceWhenEveryLiveSearchHasAsked) {
  BatchQueue queue(64, microseconds(200));
  queue.Add(1);
  queue.Push(QueuedRequest(1, 3), kStart);
  const std::optional<Batch> batch = queue.Take(kStart);
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->reason, FlushReason::kIdle);
  EXPECT_EQ(batch->pieces.size(), 3u);
}

TEST(BatchQueue, WaitsForTheWindowWhileASearchMayStillAsk) {
  BatchQueue queue(64, microseconds(200));
  queue.Add(1);
  queue.Add(2);
  queue.Push(QueuedRequest(1, 3), kStart);
  EXPECT_FALSE(queue.Take(kStart + microseconds(199)).has_value());
  EXPECT_EQ(queue.NextTime(), kStart + microseconds(200));
  const std::optional<Batch> batch = queue.Take(kStart + microseconds(200));
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->reason, FlushReason::kWindow);
}

TEST(BatchQueue, SendsAFullBatchWithoutWaiting) {
  BatchQueue queue(8, microseconds(200));
  queue.Add(1);
  queue.Add(2);
  queue.Add(3);
  queue.Push(QueuedRequest(1, 5), kStart);
  EXPECT_FALSE(queue.Take(kStart).has_value());
  queue.Push(QueuedRequest(2, 5), kStart);
  const std::optional<Batch> batch = queue.Take(kStart);
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->reason, FlushReason::kFull);
  EXPECT_EQ(batch->pieces.size(), 8u);
}

TEST(BatchQueue, AHugeRoundDoesNotStarveASmallOne) {
  BatchQueue queue(64, microseconds(200));
  queue.Add(1);
  queue.Add(2);
  queue.Push(QueuedRequest(1, 1000), kStart);
  queue.Push(QueuedRequest(2, 10), kStart);
  const std::optional<Batch> batch = queue.Take(kStart);
  ASSERT_TRUE(batch.has_value());
  std::map<ClientId, int> rows = RowsByClient(*batch);
  EXPECT_EQ(rows[2], 10);
  EXPECT_EQ(rows[1], 54);
}

TEST(BatchQueue, SharesByPositionsNotByRows) {
  BatchQueue queue(60, microseconds(200));
  queue.Add(1);
  queue.Add(2);
  queue.Push(QueuedRequest(1, 1000, Sharing::kShared, 4), kStart);
  queue.Push(QueuedRequest(2, 1000, Sharing::kShared, 1), kStart);
  const std::optional<Batch> batch = queue.Take(kStart);
  ASSERT_TRUE(batch.has_value());
  std::map<ClientId, int> rows = RowsByClient(*batch);
  EXPECT_EQ(rows[1], 12);
  EXPECT_EQ(rows[2], 48);
}

TEST(BatchQueue, WaitingEarnsNoCredit) {
  BatchQueue queue(10, microseconds(200));
  queue.Add(1);
  queue.Add(2);
  for (int i = 0; i < 20; ++i) {
    queue.Push(QueuedRequest(1, 10), kStart);
    ASSERT_TRUE(queue.Take(kStart).has_value());
  }
  queue.Push(QueuedRequest(1, 100), kStart);
  queue.Push(QueuedRequest(2, 100), kStart);
  ASSERT_TRUE(queue.Take(kStart).has_value());
  std::map<ClientId, int> rows = RowsByClient(*queue.Take(kStart));
  EXPECT_EQ(rows[1], 5);
  EXPECT_EQ(rows[2], 5);
}

TEST(BatchQueue, ARequestApartSharesWithNobody) {
  BatchQueue queue(64, microseconds(200));
  queue.Add(1);
  queue.Add(2);
  queue.Push(QueuedRequest(1, 70, Sharing::kApart), kStart);
  queue.Push(QueuedRequest(2, 5), kStart);
  int apart = 0;
  for (int i = 0; i < 3; ++i) {
    const std::optional<Batch> batch = queue.Take(kStart);
    ASSERT_TRUE(batch.has_value());
    std::map<ClientId, int> rows = RowsByClient(*batch);
    EXPECT_EQ(rows.size(), 1u);
    apart += rows[1] > 0;
  }
  EXPECT_EQ(apart, 2);
  EXPECT_FALSE(queue.Take(kStart).has_value());
}

TEST(BatchQueue, ARowAloneIsABatch) {
  BatchQueue queue(64, microseconds(200));
  queue.Add(1);
  queue.Push(QueuedRequest(1, 3, Sharing::kAlone), kStart);
  for (int i = 0; i < 3; ++i) {
    const std::optional<Batch> batch = queue.Take(kStart);
    ASSERT_TRUE(batch.has_value());
    ASSERT_EQ(batch->pieces.size(), 1u);
    EXPECT_EQ(batch->pieces.front().row, i);
  }
}

TEST(BatchQueue, DropsTheRowsOfARemovedClient) {
  BatchQueue queue(4, microseconds(200));
  queue.Add(1);
  queue.Add(2);
  queue.Push(QueuedRequest(1, 6), kStart);
  const std::optional<Batch> first = queue.Take(kStart);
  ASSERT_TRUE(first.has_value());
  queue.Push(QueuedRequest(2, 2), kStart);
  queue.Remove(1);
  EXPECT_TRUE(first->pieces.front().round->dropped);
  std::map<ClientId, int> rows = RowsByClient(*queue.Take(kStart));
  EXPECT_EQ(rows[1], 0);
  EXPECT_EQ(rows[2], 2);
  EXPECT_FALSE(queue.Take(kStart).has_value());
}

TEST(BatchQueue, TasksTakeTurnsWithRows) {
  BatchQueue queue(2, microseconds(200));
  queue.Add(1);
  queue.Push(QueuedRequest(1, 100), kStart);
  queue.PushTask(-1, 4, [](models::Backend&) {});
  queue.PushTask(-1, 4, [](models::Backend&) {});
  std::string order;
  for (int i = 0; i < 6; ++i) {
    order += queue.Take(kStart)->task != nullptr ? 't' : 'r';
  }
  EXPECT_EQ(std::count(order.begin(), order.end(), 't'), 2) << order;
  EXPECT_EQ(order.find("tt"), std::string::npos) << order;
}

}  // namespace
}  // namespace spar::schedule
