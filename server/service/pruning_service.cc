#include "server/service/pruning_service.h"

#include "server/service/prune_call.h"

namespace spar::service {

grpc::ServerWriteReactor<v1::PruneResponse>* PruningService::Prune(
    grpc::CallbackServerContext* /*context*/, const v1::PruneRequest* request) {
  return PruneCall::Make(registry_, ledger_, *request);
}

}  // namespace spar::service
