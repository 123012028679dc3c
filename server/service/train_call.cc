#include "server/service/train_call.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "server/service/errors.h"
#include "server/service/from_proto.h"
#include "server/service/to_proto.h"
#include "server/service/training_to_proto.h"

namespace spar::service {
namespace {

constexpr std::string_view kTrainMethod = "spar.v1.DecompositionService/Train";
constexpr std::chrono::milliseconds kTrainProgressInterval{250};

absl::Status CheckTrainConfig(const std::string& config_json) {
  if (config_json.empty()) {
    return base::InvalidArgument("EMPTY_CONFIG", "config_json",
                                 "there is no configuration");
  }
  return CheckTextSize(config_json, "config_json");
}

}  // namespace

TrainCall::TrainCall(CallLedger* ledger, TrainingDesk* desk)
    : StreamCall(ledger, kTrainMethod), desk_(desk) {}

TrainCall* TrainCall::Make(const ModelRegistry* registry,
                           CallLedger* ledger,
                           TrainingDesk* desk,
                           const v1::TrainRequest& request) {
  std::shared_ptr<TrainCall> call(new TrainCall(ledger, desk));
  absl::Status status = call->Admit(call, kMaxLiveTrainings);
  if (status.ok()) status = call->Begin(*registry, request);
  if (!status.ok()) call->End(status);
  return call.get();
}

absl::Status TrainCall::Begin(const ModelRegistry& registry,
                              const v1::TrainRequest& request) {
  if (desk_->host() == nullptr) {
    return base::Error(absl::StatusCode::kFailedPrecondition,
                       "this server trains nothing: it runs without a training "
                       "folder (--training-dir)",
                       {.reason = "TRAINING_DISABLED"});
  }
  ASSIGN_OR_RETURN(order_.model, registry.Find(request.model(), "model"));
  RETURN_IF_ERROR(CheckTrainConfig(request.config_json()));
  order_.config_json = request.config_json();
  order_.resume = request.resume();
  return desk_->Post([self = self()] { self->Train(); });
}

void TrainCall::Train() {
  absl::StatusOr<TrainingResult> result = desk_->host()->Train(order_, *this);
  desk_->SetState(std::nullopt);
  LeavePlace();  // also where the client never reads the end
  {
    base::MutexLock lock(mu_);
    result_ = std::move(result);
  }
  Advance();
}

void TrainCall::OnBegin(const TrainingBegin& begin) {
  v1::TrainResponse message;
  ToProto(*order_.model, begin, message.mutable_start());
  Push(std::move(message));
}

bool TrainCall::OnStep(const models::TrainProgress& progress, bool is_logged) {
  desk_->SetState(
      TrainingState{.model = order_.model->id, .progress = progress});
  const Clock::time_point now = Clock::now();
  if (is_logged || !last_progress_.has_value() ||
      now - *last_progress_ >= kTrainProgressInterval) {
    last_progress_ = now;
    v1::TrainResponse message;
    ToProto(progress, message.mutable_progress());
    message.mutable_progress()->set_is_logged(is_logged);
    Push(std::move(message));
  }
  base::MutexLock lock(mu_);
  return !stopped_;
}

void TrainCall::OnCheckpoint(int64_t step, const std::string& path) {
  v1::TrainResponse message;
  message.mutable_checkpoint()->set_step_count(step);
  message.mutable_checkpoint()->set_path(path);
  Push(std::move(message));
}

// All but the start may be missed.
void TrainCall::Push(v1::TrainResponse message) {
  {
    base::MutexLock lock(mu_);
    if (stopped_) return;
    queue_.push_back(std::move(message));
    if (queue_.size() > kMaxQueuedTrainMessages) {
      const auto oldest = std::find_if(
          queue_.begin(), queue_.end(),
          [](const v1::TrainResponse& queued) { return !queued.has_start(); });
      queue_.erase(oldest);
    }
  }
  Advance();
}

void TrainCall::OnWriteDone(bool ok) {
  {
    base::MutexLock lock(mu_);
    writing_ = false;
    if (!ok) stopped_ = true;
    if (stopped_) queue_.clear();
  }
  Advance();
}

void TrainCall::OnCancel() {
  base::MutexLock lock(mu_);
  stopped_ = true;
  queue_.clear();
}

void TrainCall::Advance() {
  std::optional<absl::StatusOr<TrainingResult>> end;
  {
    base::MutexLock lock(mu_);
    if (writing_ || finished_) return;
    if (!queue_.empty()) {
      response_ = std::move(queue_.front());
      queue_.pop_front();
      writing_ = true;
    } else if (result_.has_value()) {
      finished_ = true;
      end = *std::move(result_);
      if (end->ok() && stopped_) end = Cancelled();
    } else {
      return;
    }
  }
  if (end.has_value()) {
    SendEnd(*end);
  } else {
    StartWrite(&response_);
  }
}

void TrainCall::SendEnd(const absl::StatusOr<TrainingResult>& result) {
  if (!result.ok()) {
    End(result.status());
    return;
  }
  INVARIANT(result->done);  // else it was stopped
  response_.Clear();
  v1::TrainingSummary& summary = *response_.mutable_summary();
  summary.set_decomposition_path(result->path);
  summary.set_decomposition_digest(result->digest);
  SetDuration(std::chrono::duration<double>(Clock::now() - begin_).count(),
              summary.mutable_elapsed());
  EndWithResponse();
}

}  // namespace spar::service
