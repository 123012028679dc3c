// L5. spar.v1.PruningService.
#pragma once

#include "server/service/call_ledger.h"
#include "server/service/model_registry.h"
#include "spar/v1/pruning_service.grpc.pb.h"

namespace spar::service {

// Thread-safe.
class PruningService final : public v1::PruningService::CallbackService {
 public:
  // Both outlive the service.
  PruningService(const ModelRegistry* registry, CallLedger* ledger)
      : registry_(registry), ledger_(ledger) {}

  grpc::ServerWriteReactor<v1::PruneResponse>* Prune(
      grpc::CallbackServerContext* context,
      const v1::PruneRequest* request) override;

 private:
  const ModelRegistry* const registry_;
  CallLedger* const ledger_;
};

}  // namespace spar::service
