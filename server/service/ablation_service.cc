#include "server/service/ablation_service.h"

#include "server/service/ablate_call.h"

namespace spar::service {

grpc::ServerWriteReactor<v1::AblateResponse>* AblationService::Ablate(
    grpc::CallbackServerContext* /*context*/,
    const v1::AblateRequest* request) {
  return AblateCall::Make(registry_, ledger_, *request);
}

}  // namespace spar::service
