// L5. The thread that trains, and what it is training.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "base/bounded_queue.h"
#include "base/mutex.h"
#include "models/training.h"
#include "server/service/limits.h"
#include "server/service/training_host.h"

namespace spar::service {

// A training in progress, as its last step was.
struct TrainingState {
  std::string model = {};  // its id
  models::TrainProgress progress = {};
};

// Thread-safe. Outlives the calls that train.
class TrainingDesk {
 public:
  // `host` outlives the desk; null: nobody trains here.
  explicit TrainingDesk(TrainingHost* host);
  // Runs what was posted to its end.
  ~TrainingDesk();

  TrainingHost* host() const { return host_; }

  // Runs `job` on the desk's thread, after those before it. kResourceExhausted
  // (TOO_MANY_CALLS) where kMaxLiveTrainings wait already.
  absl::Status Post(std::function<void()> job);

  // For those who look on; absent between trainings.
  std::optional<TrainingState> state() const;
  void SetState(std::optional<TrainingState> state);

 private:
  TrainingHost* const host_;
  base::BoundedQueue<std::function<void()>> jobs_{kMaxLiveTrainings};

  mutable base::Mutex mu_;
  std::optional<TrainingState> state_ ABSL_GUARDED_BY(mu_);

  std::jthread thread_;  // last: ends before what it uses
};

}  // namespace spar::service
