#include "server/service/training_desk.h"

#include <utility>

#include "base/status.h"

namespace spar::service {

TrainingDesk::TrainingDesk(TrainingHost* host) : host_(host) {
  if (host_ == nullptr) return;
  thread_ = std::jthread([this] {
    while (const auto job = jobs_.Pop()) (*job)();
  });
}

TrainingDesk::~TrainingDesk() {
  jobs_.Close();
}

absl::Status TrainingDesk::Post(std::function<void()> job) {
  if (jobs_.Push(std::move(job))) return absl::OkStatus();
  return base::Error(
      absl::StatusCode::kResourceExhausted,
      "another training waits already; ask again later",
      {.reason = "TOO_MANY_CALLS",
       .metadata = {{"max_calls", base::Cat(kMaxLiveTrainings)}}});
}

std::optional<TrainingState> TrainingDesk::state() const {
  base::MutexLock lock(mu_);
  return state_;
}

void TrainingDesk::SetState(std::optional<TrainingState> state) {
  base::MutexLock lock(mu_);
  state_ = std::move(state);
}

}  // namespace spar::service
