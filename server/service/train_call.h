// L5. One Train stream: a training on its way to one client.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

#include "base/mutex.h"
#include "server/service/call_ledger.h"
#include "server/service/limits.h"
#include "server/service/model_registry.h"
#include "server/service/stream_call.h"
#include "server/service/training_desk.h"
#include "spar/v1/training.pb.h"

namespace spar::service {

// The desk's thread trains and queues messages; gRPC's threads write them one
// by one. The training waits for neither: of what waits for a client that reads
// slowly the oldest is dropped.
//
// Lives until gRPC is done with it (OnDone) and the desk has let go.
class TrainCall final : public StreamCall<TrainCall, v1::TrainResponse>,
                        private TrainingObserver {
 public:
  // Answers `request`; owned by gRPC and the desk. The three outlive both.
  static TrainCall* Make(const ModelRegistry* registry,
                         CallLedger* ledger,
                         TrainingDesk* desk,
                         const v1::TrainRequest& request);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;

 private:
  using Clock = std::chrono::steady_clock;

  TrainCall(CallLedger* ledger, TrainingDesk* desk);

  absl::Status Begin(const ModelRegistry& registry,
                     const v1::TrainRequest& request);
  // The desk's thread.
  void Train();
  void OnBegin(const TrainingBegin& begin) override;
  bool OnStep(const models::TrainProgress& progress, bool is_logged) override;
  void OnCheckpoint(int64_t step, const std::string& path) override;

  void Push(v1::TrainResponse message);
  // Any thread: writes what is next, or ends.
  void Advance();
  void SendEnd(const absl::StatusOr<TrainingResult>& result);

  TrainingDesk* const desk_;
  const Clock::time_point begin_ = Clock::now();
  TrainingOrder order_;  // constant once the work has begun
  std::optional<Clock::time_point> last_progress_;  // of the desk's thread

  base::Mutex mu_;
  std::deque<v1::TrainResponse> queue_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::StatusOr<TrainingResult>> result_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace spar::service
