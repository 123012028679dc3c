#include "server/service/evaluate_call.h"

#include <string_view>
#include <utility>

#include "base/status.h"
#include "server/service/errors.h"
#include "server/service/limits.h"
#include "server/service/to_proto.h"

namespace spar::service {
namespace {

constexpr std::string_view kEvaluateMethod =
    "spar.v1.DecompositionService/Evaluate";
constexpr std::chrono::milliseconds kEvaluationProgressInterval{250};

}  // namespace

EvaluateCall::EvaluateCall(CallLedger* ledger)
    : StreamCall(ledger, kEvaluateMethod) {}

EvaluateCall* EvaluateCall::Make(const ModelRegistry* registry,
                                 CallLedger* ledger,
                                 const v1::EvaluateRequest& request) {
  std::shared_ptr<EvaluateCall> call(new EvaluateCall(ledger));
  absl::Status status = call->Admit(call, kMaxLiveEvaluations);
  if (status.ok()) status = call->Begin(*registry, request);
  if (!status.ok()) call->End(status);
  return call.get();
}

absl::Status EvaluateCall::Begin(const ModelRegistry& registry,
                                 const v1::EvaluateRequest& request) {
  ASSIGN_OR_RETURN(context_.decomposition,
                   registry.FindDecomposition(request.name(), "name"));
  ASSIGN_OR_RETURN(context_.question,
                   EvaluationFromProto(request, context_.decomposition));
  context_.decomposition.model->explainer->Evaluate(
      context_.question.request,
      [self = self()](
          absl::StatusOr<std::shared_ptr<search::EvaluationTask>> task) {
        self->OnTask(std::move(task));
      });
  return absl::OkStatus();
}

void EvaluateCall::OnTask(
    absl::StatusOr<std::shared_ptr<search::EvaluationTask>> task) {
  if (!task.ok()) {
    End(task.status());
    return;
  }
  task_ = *std::move(task);
  ToProto(context_, response_.mutable_header());
  StartWrite(&response_);
}

void EvaluateCall::OnParts(
    absl::StatusOr<std::vector<models::EvaluationPart>> parts) {
  if (!parts.ok()) {
    End(parts.status());
    return;
  }
  for (const models::EvaluationPart& part : *parts) {
    ToProto(context_, part, messages_);
  }
  Advance();
}

void EvaluateCall::OnWriteDone(bool ok) {
  if (!ok) stopped_ = true;
  Advance();
}

void EvaluateCall::Advance() {
  if (stopped_) {
    End(Cancelled());
  } else if (!messages_.empty()) {
    response_ = std::move(messages_.front());
    messages_.pop_front();
    StartWrite(&response_);
  } else if (!last_progress_.has_value() ||
             Clock::now() - *last_progress_ >= kEvaluationProgressInterval) {
    WriteProgress();
  } else if (task_->work->done()) {
    WriteSummary();
  } else {
    context_.decomposition.model->explainer->NextEvaluated(
        task_, [self = self()](
                   absl::StatusOr<std::vector<models::EvaluationPart>> parts) {
          self->OnParts(std::move(parts));
        });
  }
}

void EvaluateCall::WriteProgress() {
  last_progress_ = Clock::now();
  response_.Clear();
  v1::EvaluationProgress* const to = response_.mutable_progress();
  ToProto(task_->work->state(), to);
  SetDuration(Elapsed(), to->mutable_elapsed());
  StartWrite(&response_);
}

void EvaluateCall::WriteSummary() {
  response_.Clear();
  SetDuration(Elapsed(), response_.mutable_summary()->mutable_elapsed());
  EndWithResponse();
}

void EvaluateCall::OnCancel() {
  stopped_ = true;
}

double EvaluateCall::Elapsed() const {
  return std::chrono::duration<double>(Clock::now() - begin_).count();
}

}  // namespace spar::service
