#include "server/service/attribute_call.h"

#include <chrono>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "server/service/attribution_from_proto.h"
#include "server/service/errors.h"

namespace spar::service {
namespace {

constexpr std::string_view kAttributeMethod =
    "spar.v1.ExplanationService/Attribute";

}  // namespace

AttributeCall::AttributeCall(CallLedger* ledger)
    : StreamCall(ledger, kAttributeMethod) {}

AttributeCall* AttributeCall::Make(const ModelRegistry* registry,
                                   CallLedger* ledger,
                                   const v1::AttributeRequest& request) {
  std::shared_ptr<AttributeCall> call(new AttributeCall(ledger));
  absl::Status status = call->Admit(call);
  if (status.ok()) status = call->Start(*registry, request);
  if (!status.ok()) call->End(status);
  return call.get();
}

absl::Status AttributeCall::Start(const ModelRegistry& registry,
                                  const v1::AttributeRequest& request) {
  ASSIGN_OR_RETURN(model_, registry.Find(request.model(), "model"));
  ASSIGN_OR_RETURN(question_, AttributionFromProto(request, *model_));
  model_->explainer->Attribute(
      question_, stop_.get_token(),
      [self = self()](
          absl::StatusOr<std::shared_ptr<const search::Attribution>> graph) {
        self->OnGraph(std::move(graph));
      });
  return absl::OkStatus();
}

void AttributeCall::OnGraph(
    absl::StatusOr<std::shared_ptr<const search::Attribution>> graph) {
  if (!graph.ok()) {
    End(WithRequestField(graph.status()));
    return;
  }
  messages_.emplace(*std::move(graph), question_, model_,
                    std::chrono::system_clock::now());
  Advance();
}

void AttributeCall::OnWriteDone(bool ok) {
  if (!ok) stop_.request_stop();
  Advance();
}

void AttributeCall::OnCancel() {
  stop_.request_stop();
}

void AttributeCall::Advance() {
  if (stop_.stop_requested()) {
    End(Cancelled());
    return;
  }
  const bool last = messages_->Next(&response_);
  if (last) {
    EndWithResponse();
  } else {
    StartWrite(&response_);
  }
}

}  // namespace spar::service
