// L5. spar.v1.DecompositionService: what decompositions are, what they say
// about prompts, how good they are, and how they are made.
#pragma once

#include "server/service/call_ledger.h"
#include "server/service/model_registry.h"
#include "server/service/training_desk.h"
#include "spar/v1/decomposition_service.grpc.pb.h"

namespace spar::service {

// Thread-safe.
class DecompositionService final
    : public v1::DecompositionService::CallbackService {
 public:
  // All outlive the service.
  DecompositionService(const ModelRegistry* registry,
                       CallLedger* ledger,
                       TrainingDesk* desk)
      : registry_(registry), ledger_(ledger), desk_(desk) {}

  grpc::ServerUnaryReactor* ListDecompositions(
      grpc::CallbackServerContext* context,
      const v1::ListDecompositionsRequest* request,
      v1::ListDecompositionsResponse* response) override;
  grpc::ServerUnaryReactor* GetDecomposition(
      grpc::CallbackServerContext* context,
      const v1::GetDecompositionRequest* request,
      v1::GetDecompositionResponse* response) override;
  grpc::ServerWriteReactor<v1::ImportancesResponse>* Importances(
      grpc::CallbackServerContext* context,
      const v1::ImportancesRequest* request) override;
  grpc::ServerWriteReactor<v1::EvaluateResponse>* Evaluate(
      grpc::CallbackServerContext* context,
      const v1::EvaluateRequest* request) override;
  grpc::ServerWriteReactor<v1::TrainResponse>* Train(
      grpc::CallbackServerContext* context,
      const v1::TrainRequest* request) override;

 private:
  absl::Status List(const v1::ListDecompositionsRequest& request,
                    v1::ListDecompositionsResponse* response) const;
  absl::Status Get(const v1::GetDecompositionRequest& request,
                   v1::GetDecompositionResponse* response) const;

  const ModelRegistry* const registry_;
  CallLedger* const ledger_;
  TrainingDesk* const desk_;
};

}  // namespace spar::service
