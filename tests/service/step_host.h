// Test support: a training host whose steps are numbers.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <thread>

#include "absl/status/status.h"

#include "base/mutex.h"
#include "base/status.h"
#include "server/service/training_host.h"

namespace spar::testing {

// Set its fields between trainings.
class StepHost final : public service::TrainingHost {
 public:
  // Until it is stopped; its steps take a millisecond.
  static constexpr int64_t kEndless = std::numeric_limits<int64_t>::max();

  int64_t steps = 1;
  int64_t save_every = kEndless;
  bool logged = true;
  absl::Status refusal = {};

  absl::StatusOr<service::TrainingResult> Train(
      const service::TrainingOrder& order,
      service::TrainingObserver& observer) override {
    SetEnd(End::kNone);
    {
      base::MutexLock lock(mu_);
      order_ = order;
    }
    RETURN_IF_ERROR(refusal);
    observer.OnBegin({.config_digest = "configuration", .out_dir = "runs/a"});
    for (int64_t step = 1; step <= steps; ++step) {
      const models::TrainProgress progress{
          .step = step,
          .steps = steps,
          .terms = {{.name = "Loss", .coefficient = 2, .value = 0.5}},
          .total = 1,
          .modules =
              {{.name = "m.0", .num_components = 8, .l0 = 1.5, .alive = 3}},
          .seconds = 0.25};
      if (!observer.OnStep(progress, logged)) {
        SetEnd(End::kStopped);
        return service::TrainingResult();
      }
      if (step % save_every == 0) {
        observer.OnCheckpoint(step, base::Cat("runs/a/checkpoints/", step));
      }
      if (steps == kEndless) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
    SetEnd(End::kDone);
    return service::TrainingResult{
        .done = true, .path = "runs/a/decomposition", .digest = "made"};
  }

  service::TrainingOrder order() const {
    base::MutexLock lock(mu_);
    return order_;
  }
  void WaitUntilStopped() { WaitFor(End::kStopped); }
  void WaitUntilDone() { WaitFor(End::kDone); }

 private:
  enum class End { kNone, kStopped, kDone };

  void SetEnd(End end) {
    base::MutexLock lock(mu_);
    end_ = end;
    ended_.NotifyAll();
  }
  void WaitFor(End end) {
    base::MutexLock lock(mu_);
    while (end_ != end) ended_.Wait(mu_);
  }

  mutable base::Mutex mu_;
  base::CondVar ended_;
  End end_ ABSL_GUARDED_BY(mu_) = End::kNone;
  service::TrainingOrder order_ ABSL_GUARDED_BY(mu_);
};

}  // namespace spar::testing
