// L3. Inbox, tickets, and the life of a search.
#include "server/search/search_loop.h"

#include <optional>
#include <utility>

#include "base/status.h"
#include "server/search/phases.h"

namespace spar::search {

struct SearchLoop::Live {
  SearchId id = 0;
  Question question = {};
  Explainer::OnEvent on_event = nullptr;
  Explainer::OnDone on_done = nullptr;
  std::unique_ptr<Oracle> oracle = nullptr;
  std::unique_ptr<Case> state = nullptr;
  std::optional<Search<Explanation>> search = std::nullopt;  // goes first
};

SearchLoop::SearchLoop(const Subject& subject) : subject_(subject) {}

SearchLoop::~SearchLoop() {
  Stop();
}

void SearchLoop::Run(schedule::Batcher* batcher) {
  batcher_ = batcher;
  thread_ = std::thread([this] { Work(); });
}

bool SearchLoop::Begin(SearchId id,
                       Question question,
                       Explainer::OnEvent on_event,
                       Explainer::OnDone on_done,
                       int limit) {
  auto live = std::make_shared<Live>();
  live->id = id;
  live->question = std::move(question);
  live->on_event = std::move(on_event);
  live->on_done = std::move(on_done);
  base::MutexLock lock(mu_);
  if (stopping_ || static_cast<int>(live_.size()) >= limit) return false;
  live_[id] = false;
  inbox_.push_back([this, live] { StartSearch(live); });
  changed_.NotifyOne();
  return true;
}

void SearchLoop::Cancel(SearchId id) {
  base::MutexLock lock(mu_);
  const auto found = live_.find(id);
  if (found == live_.end() || found->second) return;
  found->second = true;
  inbox_.push_back([this, id] {
    batcher_->Remove(id);
    const auto search = searches_.find(id);
    if (search == searches_.end()) return;
    search->second->oracle->Cancel();
    Settle(id);
  });
  changed_.NotifyOne();
}

void SearchLoop::Deliver(schedule::Ticket ticket, schedule::Reply reply) {
  auto shared = std::make_shared<schedule::Reply>(std::move(reply));
  Post([this, ticket, shared] {
    const auto found = tickets_.find(ticket);
    if (found == tickets_.end()) return;  // its search is over
    const SearchId id = found->second;
    tickets_.erase(found);
    const auto search = searches_.find(id);
    if (search == searches_.end()) return;
    search->second->oracle->Answer(std::move(*shared));
    Settle(id);
  });
}

void SearchLoop::Post(Message message) {
  base::MutexLock lock(mu_);
  inbox_.push_back(std::move(message));
  changed_.NotifyOne();
}

void SearchLoop::StartSearch(const std::shared_ptr<Live>& live) {
  const SearchId id = live->id;
  searches_[id] = live;
  batcher_->Add(id);
  Budget budget;
  budget.max_rows = live->question.options.max_rows;
  budget.max_seconds = live->question.options.max_seconds;
  live->oracle = std::make_unique<Oracle>(
      *subject_.calibration, budget, base::Clock::Real(),
      [this, id](schedule::Request request) {
        request.client = id;
        request.ticket = ++last_ticket_;
        tickets_[request.ticket] = id;
        batcher_->Submit(std::move(request));
      });
  live->state =
      std::make_unique<Case>(subject_, std::move(live->question),
                             live->oracle.get(), std::move(live->on_event));
  live->search = Crystallize(live->state.get());
  live->search->Start();
  Settle(id);
}

// Ends the search if it is done.
void SearchLoop::Settle(SearchId id) {
  const auto found = searches_.find(id);
  if (found == searches_.end() || !found->second->search->done()) return;
  const std::shared_ptr<Live> live = std::move(found->second);
  searches_.erase(found);
  std::erase_if(tickets_,
                [id](const auto& entry) { return entry.second == id; });
  batcher_->Remove(id);
  {
    base::MutexLock lock(mu_);
    live_.erase(id);
  }
  absl::StatusOr<Explanation> result = live->search->TakeResult();
  live->search.reset();
  if (live->on_done != nullptr) live->on_done(std::move(result));
}

void SearchLoop::CancelAll() {
  while (!searches_.empty()) {
    const SearchId id = searches_.begin()->first;
    searches_.begin()->second->oracle->Cancel();
    Settle(id);
  }
}

void SearchLoop::Work() {
  while (true) {
    Message message;
    {
      base::MutexLock lock(mu_);
      while (inbox_.empty() && !stopping_) changed_.Wait(mu_);
      if (inbox_.empty()) break;
      message = std::move(inbox_.front());
      inbox_.pop_front();
    }
    message();
  }
  CancelAll();
}

void SearchLoop::Stop() {
  {
    base::MutexLock lock(mu_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

int SearchLoop::live() const {
  base::MutexLock lock(mu_);
  return static_cast<int>(live_.size());
}

}  // namespace spar::search
