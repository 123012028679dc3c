// L5. ExplanationService: searches and graphs as streams, and the check of
// certificates.
#pragma once

#include "server/service/call_ledger.h"
#include "server/service/limits.h"
#include "server/service/model_registry.h"
#include "spar/v1/explanation_service.grpc.pb.h"

namespace spar::service {

struct ExplanationServiceOptions {
  // Events that wait for one slow client, in bytes of their sets.
  size_t max_queued_event_bytes = kMaxQueuedEventBytes;
};

// Thread-safe. Both pointers outlive the server that it is registered with.
class ExplanationService final
    : public v1::ExplanationService::CallbackService {
 public:
  ExplanationService(const ModelRegistry* registry,
                     CallLedger* ledger,
                     const ExplanationServiceOptions& options = {})
      : registry_(registry), ledger_(ledger), options_(options) {}

  grpc::ServerWriteReactor<v1::CrystallizeResponse>* Crystallize(
      grpc::CallbackServerContext* context,
      const v1::CrystallizeRequest* request) override;
  grpc::ServerWriteReactor<v1::AttributeResponse>* Attribute(
      grpc::CallbackServerContext* context,
      const v1::AttributeRequest* request) override;
  grpc::ServerUnaryReactor* Verify(grpc::CallbackServerContext* context,
                                   const v1::VerifyRequest* request,
                                   v1::VerifyResponse* response) override;

 private:
  const ModelRegistry* const registry_;
  CallLedger* const ledger_;
  const ExplanationServiceOptions options_;
};

}  // namespace spar::service
