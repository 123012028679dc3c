#include "server/service/crystallize_call.h"

#include <string_view>
#include <utility>

#include "base/status.h"
#include "server/service/errors.h"
#include "server/service/from_proto.h"

namespace spar::service {
namespace {

constexpr std::string_view kCrystallizeMethod =
    "spar.v1.ExplanationService/Crystallize";

size_t Bytes(const search::Event& event) {
  return sizeof event + sizeof(models::UnitId) * event.units.size() +
         sizeof(int32_t) * event.positions.size();
}

absl::Status SlowReader(size_t bytes, size_t limit) {
  const base::ErrorDetail detail{
      .reason = "SLOW_READER",
      .metadata = {{"queued_bytes", base::Cat(bytes)},
                   {"max_queued_bytes", base::Cat(limit)}}};
  return base::Error(
      absl::StatusCode::kResourceExhausted,
      base::Cat("the client reads too slowly: ", bytes,
                " bytes of events wait for it, at most ", limit, " may"),
      detail);
}

}  // namespace

CrystallizeCall::CrystallizeCall(CallLedger* ledger, size_t max_queued_bytes)
    : StreamCall(ledger, kCrystallizeMethod),
      max_queued_bytes_(max_queued_bytes) {}

CrystallizeCall* CrystallizeCall::Make(const ModelRegistry* registry,
                                       CallLedger* ledger,
                                       size_t max_queued_bytes,
                                       const v1::CrystallizeRequest& request) {
  std::shared_ptr<CrystallizeCall> call(
      new CrystallizeCall(ledger, max_queued_bytes));
  absl::Status status = call->Admit(call);
  if (status.ok()) status = call->Start(*registry, request);
  if (!status.ok()) call->OnEnd(status);
  return call.get();
}

absl::Status CrystallizeCall::Start(const ModelRegistry& registry,
                                    const v1::CrystallizeRequest& request) {
  ASSIGN_OR_RETURN(context_.model, registry.Find(request.model(), "model"));
  ASSIGN_OR_RETURN(search::Question question,
                   QuestionFromProto(request, *context_.model));
  search::Explainer& explainer = *context_.model->explainer;
  ASSIGN_OR_RETURN(context_.units, explainer.UnitsOf(question));
  context_.tokens = question.tokens;
  context_.num_units = context_.units.CountMembers(question.options.scheme);

  ASSIGN_OR_RETURN(
      const search::SearchId id,
      explainer.Start(
          std::move(question),
          [self = self()](const search::Event& event) { self->OnEvent(event); },
          [self = self()](absl::StatusOr<search::Explanation> result) {
            self->OnEnd(std::move(result));
          }));
  bool stop = false;
  {
    base::MutexLock lock(mu_);
    search_ = id;
    stop = stopped_.has_value();
  }
  if (stop) explainer.Cancel(id);
  return absl::OkStatus();
}

void CrystallizeCall::OnEvent(const search::Event& event) {
  size_t too_many = 0;
  {
    base::MutexLock lock(mu_);
    if (stopped_.has_value()) return;
    queued_bytes_ += Bytes(event);
    if (queued_bytes_ > max_queued_bytes_) {
      too_many = queued_bytes_;
    } else {
      queue_.push_back(event);
    }
  }
  if (too_many > 0) {
    Stop(SlowReader(too_many, max_queued_bytes_));
  } else {
    Advance();
  }
}

void CrystallizeCall::OnEnd(absl::StatusOr<search::Explanation> result) {
  {
    base::MutexLock lock(mu_);
    result_ = std::move(result);
  }
  Advance();
}

void CrystallizeCall::OnWriteDone(bool ok) {
  {
    base::MutexLock lock(mu_);
    writing_ = false;
  }
  if (!ok) Stop(absl::CancelledError("the client is gone"));
  Advance();
}

void CrystallizeCall::OnCancel() {
  Stop(Cancelled());
}

void CrystallizeCall::Stop(const absl::Status& why) {
  std::optional<search::SearchId> search;
  {
    base::MutexLock lock(mu_);
    if (stopped_.has_value()) return;
    stopped_ = why;
    queue_.clear();
    queued_bytes_ = 0;
    search = search_;
  }
  if (search.has_value()) context_.model->explainer->Cancel(*search);
}

void CrystallizeCall::Advance() {
  std::optional<search::Event> event;
  std::optional<absl::StatusOr<search::Explanation>> end;
  {
    base::MutexLock lock(mu_);
    if (writing_ || finished_) return;
    if (!queue_.empty()) {
      event = std::move(queue_.front());
      queue_.pop_front();
      queued_bytes_ -= Bytes(*event);
      writing_ = true;
    } else if (result_.has_value()) {
      finished_ = true;
      end = *std::move(result_);
      if (stopped_.has_value()) end = *stopped_;
    } else {
      return;
    }
  }
  if (end.has_value()) {
    SendEnd(*std::move(end));
    return;
  }
  response_.Clear();
  ToProto(*event, context_, response_.mutable_event());
  StartWrite(&response_);
}

void CrystallizeCall::SendEnd(absl::StatusOr<search::Explanation> result) {
  if (!result.ok()) {
    End(result.status());
    return;
  }
  response_.Clear();
  ToProto(*result, context_, response_.mutable_explanation());
  EndWithResponse();
}

}  // namespace spar::service
