// L2. Fairness, packing, and the three reasons to flush.
#include "server/schedule/batch_queue.h"

#include <algorithm>
#include <utility>

namespace spar::schedule {
namespace {

int64_t CostOf(const Request& request, int row) {
  return request.gradient_rows.empty()
             ? request.rows[row].positions.Count()
             : 3 * int64_t{request.gradient_rows[row].positions.Count()};
}

}  // namespace

void BatchQueue::Add(ClientId client) {
  clients_[client].live = true;
}

void BatchQueue::Remove(ClientId client) {
  const auto found = clients_.find(client);
  if (found != clients_.end()) clients_.erase(found);
  for (const std::weak_ptr<Round>& weak : in_flight_) {
    const std::shared_ptr<Round> round = weak.lock();
    if (round != nullptr && round->request.client == client) {
      round->dropped = true;
    }
  }
}

void BatchQueue::Push(Request request, TimePoint now) {
  auto round = std::make_shared<Round>();
  round->num_rows =
      static_cast<int>(request.rows.size() + request.gradient_rows.size());
  round->reply.results.resize(request.rows.size());
  round->reply.gradients.resize(request.gradient_rows.size());
  round->arrived = now;
  const ClientId client = request.client;
  if (!request.gradient_rows.empty()) request.sharing = Sharing::kApart;
  round->request = std::move(request);
  Forget();
  in_flight_.push_back(round);
  Item item{};
  item.round = std::move(round);
  Enqueue(client, std::move(item));
}

void BatchQueue::PushTask(ClientId client, int64_t cost, Task task) {
  Item item{};
  item.task = std::move(task);
  item.cost = cost;
  Enqueue(client, std::move(item));
}

void BatchQueue::Enqueue(ClientId client, Item item) {
  Client& entry = clients_[client];
  if (entry.items.empty()) entry.paid = std::max(entry.paid, level_);
  entry.items.push_back(std::move(item));
}

bool BatchQueue::FrontIsShared(const Client& client) {
  const Item& front = client.items.front();
  return front.round != nullptr &&
         front.round->request.sharing == Sharing::kShared;
}

// Why the shared rows may go now, if they may.
std::optional<FlushReason> BatchQueue::SharedReason(TimePoint now) const {
  int num_rows = 0;
  bool all_asked = true;
  TimePoint oldest = TimePoint::max();
  for (const auto& [id, client] : clients_) {
    if (client.items.empty()) {
      all_asked = all_asked && !client.live;
      continue;
    }
    if (!FrontIsShared(client)) continue;
    const Round& round = *client.items.front().round;
    num_rows += round.num_rows - round.num_taken;
    oldest = std::min(oldest, round.arrived);
  }
  if (num_rows == 0) return std::nullopt;
  if (num_rows >= max_rows_) return FlushReason::kFull;
  if (all_asked) return FlushReason::kIdle;
  if (now - oldest >= window_) return FlushReason::kWindow;
  return std::nullopt;
}

std::optional<BatchQueue::TimePoint> BatchQueue::NextTime() const {
  std::optional<TimePoint> next;
  for (const auto& [id, client] : clients_) {
    if (client.items.empty() || !FrontIsShared(client)) continue;
    const TimePoint due = client.items.front().round->arrived + window_;
    if (!next.has_value() || due < *next) next = due;
  }
  return next;
}

BatchQueue::Client* BatchQueue::Poorest(bool shared_too, bool tasks_too) {
  Client* poorest = nullptr;
  for (auto& [id, client] : clients_) {
    if (client.items.empty()) continue;
    if (!shared_too && FrontIsShared(client)) continue;
    if (!tasks_too && client.items.front().task != nullptr) continue;
    if (poorest == nullptr || client.paid < poorest->paid) poorest = &client;
  }
  return poorest;
}

void BatchQueue::TakeRow(Client& client, Batch& batch) {
  const std::shared_ptr<Round> round = client.items.front().round;
  Piece piece{};
  piece.round = round;
  piece.row = round->num_taken++;
  level_ = client.paid;
  client.paid += CostOf(round->request, piece.row);
  batch.pieces.push_back(std::move(piece));
  if (round->num_taken == round->num_rows) client.items.pop_front();
}

std::optional<Batch> BatchQueue::Take(TimePoint now, bool tasks) {
  const std::optional<FlushReason> reason = SharedReason(now);
  Client* const lead = Poorest(reason.has_value(), tasks);
  if (lead == nullptr) return std::nullopt;
  Batch batch{};
  Item& front = lead->items.front();
  if (front.task != nullptr) {
    batch.task = std::move(front.task);
    level_ = lead->paid;
    lead->paid += front.cost;
    lead->items.pop_front();
    Forget();
    return batch;
  }
  if (FrontIsShared(*lead)) {
    batch.reason = *reason;
    Client* next = lead;
    while (next != nullptr &&
           static_cast<int>(batch.pieces.size()) < max_rows_) {
      TakeRow(*next, batch);
      next = nullptr;
      for (auto& [id, client] : clients_) {
        if (client.items.empty() || !FrontIsShared(client)) continue;
        if (next == nullptr || client.paid < next->paid) next = &client;
      }
    }
    return batch;
  }
  const std::shared_ptr<Round> round = front.round;
  const int limit = round->request.sharing == Sharing::kAlone ? 1 : max_rows_;
  batch.gradients = !round->request.gradient_rows.empty();
  batch.reason = FlushReason::kFull;
  const int num_rows = std::min(limit, round->num_rows - round->num_taken);
  for (int i = 0; i < num_rows; ++i) TakeRow(*lead, batch);
  return batch;
}

// Clients that only passed by, and rounds that are over.
void BatchQueue::Forget() {
  std::erase_if(in_flight_, [](const std::weak_ptr<Round>& round) {
    return round.expired();
  });
  std::erase_if(clients_, [](const auto& entry) {
    return !entry.second.live && entry.second.items.empty();
  });
}

}  // namespace spar::schedule
