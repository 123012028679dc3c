// L2. Packs the rows of all live searches into batches for one device.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "models/backend.h"
#include "server/schedule/batch_queue.h"
#include "server/schedule/request.h"

namespace spar::schedule {

struct BatcherOptions {
  int max_rows = 64;                      // of one device batch
  std::chrono::microseconds window{200};  // counted from the oldest row
};

// Thread-safe. One worker thread per backend owns it from construction to Stop;
// replies are handed out on these threads. The backends are of one model and
// give the same numbers; tasks run on the first alone.
//
// A batch that fails is run again row by row, so one bad row fails its own
// request and no other.
class Batcher {
 public:
  // Must not block.
  using OnReply = std::function<void(Ticket, Reply)>;

  // The backends, at least one, outlive the batcher.
  Batcher(std::vector<models::Backend*> backends,
          const BatcherOptions& options,
          OnReply on_reply,
          const base::Clock* clock = base::Clock::Real());
  Batcher(models::Backend* backend,
          const BatcherOptions& options,
          OnReply on_reply,
          const base::Clock* clock = base::Clock::Real())
      : Batcher(std::vector<models::Backend*>(1, backend),
                options,
                std::move(on_reply),
                clock) {}
  ~Batcher();

  // A search lives from Add to Remove; see BatchQueue. After Remove returns,
  // none of its queued rows begins to run; a reply that was on its way may
  // still come.
  void Add(ClientId client);
  void Remove(ClientId client);

  // One reply per request, unless its client was removed or the batcher
  // stopped. At least one row, or importances.
  void Submit(Request request);
  // Runs `task` on a worker, in turn with the batches: `cost` as rows x
  // positions. Dropped when the batcher stops.
  void Run(ClientId client, int64_t cost, Task task);

  // Drops what is queued and joins the workers after their present batches.
  // Idempotent; not from a worker.
  void Stop();

  BatchCounters counters() const;

 private:
  void Work(models::Backend* backend, bool tasks);
  void RunBatch(models::Backend* backend, Batch batch);

  const OnReply on_reply_;
  const base::Clock* const clock_;

  mutable base::Mutex mu_;
  base::CondVar changed_;
  BatchQueue queue_ ABSL_GUARDED_BY(mu_);
  BatchCounters counters_ ABSL_GUARDED_BY(mu_);
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;

  std::vector<std::thread> workers_;  // last: the rest is there before
};

}  // namespace spar::schedule
