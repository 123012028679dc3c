#include "server/service/explanation_service.h"

#include "base/status.h"
#include "server/service/attribute_call.h"
#include "server/service/crystallize_call.h"
#include "server/service/from_proto.h"
#include "server/service/to_proto.h"
#include "server/service/unary_call.h"

namespace spar::service {

grpc::ServerWriteReactor<v1::CrystallizeResponse>*
ExplanationService::Crystallize(grpc::CallbackServerContext* /*context*/,
                                const v1::CrystallizeRequest* request) {
  return CrystallizeCall::Make(registry_, ledger_,
                               options_.max_queued_event_bytes, *request);
}

grpc::ServerWriteReactor<v1::AttributeResponse>* ExplanationService::Attribute(
    grpc::CallbackServerContext* /*context*/,
    const v1::AttributeRequest* request) {
  return AttributeCall::Make(registry_, ledger_, *request);
}

grpc::ServerUnaryReactor* ExplanationService::Verify(
    grpc::CallbackServerContext* /*context*/,
    const v1::VerifyRequest* request,
    v1::VerifyResponse* response) {
  auto* call = new UnaryCall(ledger_, "spar.v1.ExplanationService/Verify");
  if (!call->admission().ok()) {
    call->Answer(call->admission());
    return call;
  }
  absl::StatusOr<const ServedModel*> model =
      registry_->Find(request->model(), "model");
  if (!model.ok()) {
    call->Answer(model.status());
    return call;
  }
  (*model)->explainer->Verify(
      request->certificate_json(),
      [call, response](absl::StatusOr<search::Verification> result) {
        if (result.ok()) ToProto(*result, response);
        call->Answer(result.status());
      });
  return call;
}

}  // namespace spar::service
