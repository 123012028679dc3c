#include "server/service/ablate_call.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "server/service/ablation_from_proto.h"
#include "server/service/errors.h"
#include "server/service/limits.h"

namespace spar::service {
namespace {

constexpr std::string_view kAblateMethod = "spar.v1.AblationService/Ablate";

// A row has a few numbers beside its candidates.
constexpr int kScoresPerPosition = 4;

// Rows of one message, which stays below what clients receive.
int RowsPerMessage(const models::AblationRequest& request) {
  const size_t positions = request.every_position ? request.tokens.size() : 1;
  const size_t scores =
      positions * static_cast<size_t>(request.top_k + kScoresPerPosition);
  return static_cast<int>(std::max<size_t>(1, kMaxTokenScores / scores));
}

}  // namespace

AblateCall::AblateCall(CallLedger* ledger)
    : StreamCall(ledger, kAblateMethod) {}

AblateCall* AblateCall::Make(const ModelRegistry* registry,
                             CallLedger* ledger,
                             const v1::AblateRequest& request) {
  std::shared_ptr<AblateCall> call(new AblateCall(ledger));
  absl::Status status = call->Admit(call);
  if (status.ok()) status = call->Begin(*registry, request);
  if (!status.ok()) call->End(status);
  return call.get();
}

absl::Status AblateCall::Begin(const ModelRegistry& registry,
                               const v1::AblateRequest& request) {
  ASSIGN_OR_RETURN(context_.model, registry.Find(request.model(), "model"));
  search::Explainer& explainer = *context_.model->explainer;
  if (!request.decomposition().empty()) {
    ASSIGN_OR_RETURN(const ServedDecomposition decomposition,
                     DecompositionOf(*context_.model, request.decomposition(),
                                     "decomposition"));
    context_.decomposition = &decomposition.info->spec;
  }
  ASSIGN_OR_RETURN(
      context_.request,
      AblationFromProto(request, context_.decomposition, *context_.model));
  explainer.Ablate(
      context_.request,
      [self =
           self()](absl::StatusOr<std::shared_ptr<search::AblationTask>> task) {
        self->OnStart(std::move(task));
      });
  return absl::OkStatus();
}

void AblateCall::OnStart(
    absl::StatusOr<std::shared_ptr<search::AblationTask>> task) {
  if (!task.ok()) {
    End(task.status());
    return;
  }
  task_ = *std::move(task);
  ToProto(context_, task_->work->baseline(), task_->work->num_rows(),
          response_.mutable_start());
  StartWrite(&response_);
}

void AblateCall::OnRows(absl::StatusOr<std::vector<models::AblationRow>> rows) {
  if (!rows.ok()) {
    End(rows.status());
    return;
  }
  if (rows->empty()) {
    Continue();
    return;
  }
  response_.Clear();
  ToProto(context_, *rows, response_.mutable_rows());
  StartWrite(&response_);
}

void AblateCall::OnWriteDone(bool ok) {
  if (!ok) cancelled_ = true;
  Continue();
}

void AblateCall::Continue() {
  if (cancelled_) {
    End(Cancelled());
    return;
  }
  if (task_->work->done()) {
    End(absl::OkStatus());
    return;
  }
  context_.model->explainer->NextRows(
      task_, RowsPerMessage(context_.request),
      [self = self()](absl::StatusOr<std::vector<models::AblationRow>> rows) {
        self->OnRows(std::move(rows));
      });
}

void AblateCall::OnCancel() {
  cancelled_ = true;
}

}  // namespace spar::service
