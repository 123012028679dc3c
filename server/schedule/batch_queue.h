// L2. Which rows go to the device next: the batcher's decisions, without its
// thread. Time is an argument.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "server/schedule/request.h"

namespace spar::schedule {

enum class FlushReason { kFull, kWindow, kIdle };

// A request on its way through the device; rows may go in several batches.
struct Round {
  Request request = {};
  Reply reply = {};
  int num_rows = 0;
  int num_taken = 0;
  int num_done = 0;
  bool dropped = false;  // its client is gone: no reply
  base::Clock::TimePoint arrived = {};
};

// A row of a round. Positions are its cost.
struct Piece {
  std::shared_ptr<Round> round = nullptr;
  int row = 0;
};

// Either pieces of one kind, or a task.
struct Batch {
  std::vector<Piece> pieces = {};
  bool gradients = false;
  Task task = nullptr;
  FlushReason reason = FlushReason::kIdle;
};

// Not thread-safe.
//
// Fair by cost: every client has paid for the rows it got (rows x positions);
// the next row is taken from the client that has paid least. A client that
// comes, or comes back, starts level with the one served last, so waiting earns
// no credit.
class BatchQueue {
 public:
  using TimePoint = base::Clock::TimePoint;

  BatchQueue(int max_rows, std::chrono::nanoseconds window)
      : max_rows_(max_rows), window_(window) {}

  // A search lives from here until Remove: while one has nothing queued, more
  // rows may arrive.
  void Add(ClientId client);
  // Its queued rows are dropped, and its replies will be.
  void Remove(ClientId client);

  void Push(Request request, TimePoint now);
  void PushTask(ClientId client, int64_t cost, Task task);

  // The next batch, if it is time for one; a task only where they are wanted.
  std::optional<Batch> Take(TimePoint now, bool tasks = true);
  // When Take may have one without further Push; nothing: only after a Push,
  // Add, or Remove. Call after Take gave none.
  std::optional<TimePoint> NextTime() const;

 private:
  // One thing a client waits for.
  struct Item {
    std::shared_ptr<Round> round = nullptr;
    Task task = nullptr;
    int64_t cost = 0;  // of the task
  };
  struct Client {
    std::deque<Item> items = {};
    int64_t paid = 0;
    bool live = false;
  };

  void Enqueue(ClientId client, Item item);
  std::optional<FlushReason> SharedReason(TimePoint now) const;
  static bool FrontIsShared(const Client& client);
  Client* Poorest(bool shared_too, bool tasks_too);
  void TakeRow(Client& client, Batch& batch);
  void Forget();

  const int max_rows_;
  const std::chrono::nanoseconds window_;
  std::map<ClientId, Client> clients_;
  std::vector<std::weak_ptr<Round>> in_flight_;
  int64_t level_ = 0;  // what the client served last had paid
};

}  // namespace spar::schedule
