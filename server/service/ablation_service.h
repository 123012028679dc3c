// L5. spar.v1.AblationService.
#pragma once

#include "server/service/call_ledger.h"
#include "server/service/model_registry.h"
#include "spar/v1/ablation_service.grpc.pb.h"

namespace spar::service {

// Thread-safe.
class AblationService final : public v1::AblationService::CallbackService {
 public:
  // Both outlive the service.
  AblationService(const ModelRegistry* registry, CallLedger* ledger)
      : registry_(registry), ledger_(ledger) {}

  grpc::ServerWriteReactor<v1::AblateResponse>* Ablate(
      grpc::CallbackServerContext* context,
      const v1::AblateRequest* request) override;

 private:
  const ModelRegistry* const registry_;
  CallLedger* const ledger_;
};

}  // namespace spar::service
