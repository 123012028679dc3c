#include "server/service/decomposition_service.h"

#include <span>

#include "base/status.h"
#include "server/service/decomposition_from_proto.h"
#include "server/service/decomposition_to_proto.h"
#include "server/service/evaluate_call.h"
#include "server/service/from_proto.h"
#include "server/service/importances_call.h"
#include "server/service/train_call.h"
#include "server/service/unary_call.h"

namespace spar::service {

grpc::ServerUnaryReactor* DecompositionService::ListDecompositions(
    grpc::CallbackServerContext* /*context*/,
    const v1::ListDecompositionsRequest* request,
    v1::ListDecompositionsResponse* response) {
  auto* call =
      new UnaryCall(ledger_, "spar.v1.DecompositionService/ListDecompositions");
  call->Answer(call->admission().ok() ? List(*request, response)
                                      : call->admission());
  return call;
}

grpc::ServerUnaryReactor* DecompositionService::GetDecomposition(
    grpc::CallbackServerContext* /*context*/,
    const v1::GetDecompositionRequest* request,
    v1::GetDecompositionResponse* response) {
  auto* call =
      new UnaryCall(ledger_, "spar.v1.DecompositionService/GetDecomposition");
  call->Answer(call->admission().ok() ? Get(*request, response)
                                      : call->admission());
  return call;
}

grpc::ServerWriteReactor<v1::ImportancesResponse>*
DecompositionService::Importances(grpc::CallbackServerContext* /*context*/,
                                  const v1::ImportancesRequest* request) {
  return ImportancesCall::Make(registry_, ledger_, *request);
}

grpc::ServerWriteReactor<v1::EvaluateResponse>* DecompositionService::Evaluate(
    grpc::CallbackServerContext* /*context*/,
    const v1::EvaluateRequest* request) {
  return EvaluateCall::Make(registry_, ledger_, *request);
}

grpc::ServerWriteReactor<v1::TrainResponse>* DecompositionService::Train(
    grpc::CallbackServerContext* /*context*/, const v1::TrainRequest* request) {
  return TrainCall::Make(registry_, ledger_, desk_, *request);
}

absl::Status DecompositionService::List(
    const v1::ListDecompositionsRequest& request,
    v1::ListDecompositionsResponse* response) const {
  ASSIGN_OR_RETURN(const ServedModel* model,
                   registry_->Find(request.parent(), "parent"));
  ASSIGN_OR_RETURN(const Page page,
                   PageFromProto(request.page_size(), request.page_token()));
  const std::span<const models::DecompositionInfo> all =
      model->explainer->decompositions();
  for (const models::DecompositionInfo& info : all) {
    if (info.name <= page.after) continue;
    const int listed = response->decompositions_size();
    if (static_cast<size_t>(listed) == page.size) {
      const std::string& last = response->decompositions(listed - 1).name();
      response->set_next_page_token(
          PageTokenAfter(last.substr(model->DecompositionName("").size())));
      break;
    }
    ToProto({model, &info}, {}, response->add_decompositions());
  }
  return absl::OkStatus();
}

absl::Status DecompositionService::Get(
    const v1::GetDecompositionRequest& request,
    v1::GetDecompositionResponse* response) const {
  ASSIGN_OR_RETURN(const ServedDecomposition decomposition,
                   registry_->FindDecomposition(request.name(), "name"));
  ASSIGN_OR_RETURN(const DecompositionPart part,
                   DecompositionPartFromProto(request, *decomposition.info));
  ToProto(decomposition, part, response->mutable_decomposition());
  return absl::OkStatus();
}

}  // namespace spar::service
