// L5. One Evaluate stream: a decomposition's judgement on its way to one
// client.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"

#include "server/search/explainer.h"
#include "server/service/call_ledger.h"
#include "server/service/evaluation_to_proto.h"
#include "server/service/model_registry.h"
#include "server/service/stream_call.h"
#include "spar/v1/evaluation.pb.h"

namespace spar::service {

// As AblateCall: a piece of work is asked for, what it brought to an end is
// written message by message, and only then comes the next. So at any time
// either the model's worker or gRPC has the call, and a client that reads
// slowly slows its own call alone.
//
// Lives until gRPC is done with it (OnDone) and the worker has let go.
class EvaluateCall final
    : public StreamCall<EvaluateCall, v1::EvaluateResponse> {
 public:
  // Answers `request`; owned by gRPC and the worker. `registry` and `ledger`
  // outlive both.
  static EvaluateCall* Make(const ModelRegistry* registry,
                            CallLedger* ledger,
                            const v1::EvaluateRequest& request);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;

 private:
  using Clock = std::chrono::steady_clock;

  explicit EvaluateCall(CallLedger* ledger);

  absl::Status Begin(const ModelRegistry& registry,
                     const v1::EvaluateRequest& request);
  void OnTask(absl::StatusOr<std::shared_ptr<search::EvaluationTask>> task);
  void OnParts(absl::StatusOr<std::vector<models::EvaluationPart>> parts);
  // Writes what is next; else asks for the next piece of work; else ends.
  void Advance();
  void WriteProgress();
  void WriteSummary();
  double Elapsed() const;

  const Clock::time_point begin_ = Clock::now();
  EvaluationContext context_;  // constant once the work has begun
  std::shared_ptr<search::EvaluationTask> task_;
  std::atomic<bool> stopped_{false};

  std::deque<v1::EvaluateResponse> messages_;  // to be written
  std::optional<Clock::time_point> last_progress_;
};

}  // namespace spar::service
