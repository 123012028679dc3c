// L3. The one thread that runs all searches of a model.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"
#include "server/schedule/batcher.h"
#include "server/search/case.h"
#include "server/search/explainer.h"

namespace spar::search {

// Thread-safe. Owns every search's frames, and resumes them on its thread only.
// Callbacks run there.
class SearchLoop {
 public:
  explicit SearchLoop(const Subject& subject);
  ~SearchLoop();

  // The batcher outlives the loop's thread; call once, before the first Begin.
  void Run(schedule::Batcher* batcher);

  // False when `limit` searches are live already.
  bool Begin(SearchId id,
             Question question,
             Explainer::OnEvent on_event,
             Explainer::OnDone on_done,
             int limit);
  void Cancel(SearchId id);
  // From the batcher's thread.
  void Deliver(schedule::Ticket ticket, schedule::Reply reply);

  // Cancels what is live and joins. Idempotent. Not from a callback.
  void Stop();

  int live() const;

 private:
  // One search: its frames go before what they use.
  struct Live;
  // The inbox. Bounded by the number of live searches: each has at most one
  // start, one reply and one cancellation on its way.
  using Message = std::function<void()>;

  void Post(Message message);
  void Work();
  void StartSearch(const std::shared_ptr<Live>& live);
  void Settle(SearchId id);
  void CancelAll();

  const Subject subject_;
  schedule::Batcher* batcher_ = nullptr;

  // The loop's thread only.
  std::map<SearchId, std::shared_ptr<Live>> searches_;
  std::map<schedule::Ticket, SearchId> tickets_;
  schedule::Ticket last_ticket_ = 0;

  mutable base::Mutex mu_;
  base::CondVar changed_;
  std::deque<Message> inbox_ ABSL_GUARDED_BY(mu_);
  // Searches begun and not over; true: a cancellation is on its way.
  std::map<SearchId, bool> live_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  std::thread thread_;
};

}  // namespace spar::search
