// L5. ModelService: what is resident, tokens, and plain predictions.
#pragma once

#include "server/service/call_ledger.h"
#include "server/service/model_registry.h"
#include "spar/v1/model_service.grpc.pb.h"

namespace spar::service {

// Thread-safe. Both arguments outlive the server that it is registered with.
class ModelService final : public v1::ModelService::CallbackService {
 public:
  ModelService(const ModelRegistry* registry, CallLedger* ledger)
      : registry_(registry), ledger_(ledger) {}

  grpc::ServerUnaryReactor* ListModels(
      grpc::CallbackServerContext* context,
      const v1::ListModelsRequest* request,
      v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) override;
  grpc::ServerUnaryReactor* Predict(grpc::CallbackServerContext* context,
                                    const v1::PredictRequest* request,
                                    v1::PredictResponse* response) override;

 private:
  absl::Status List(const v1::ListModelsRequest& request,
                    v1::ListModelsResponse* response) const;
  absl::Status Get(const v1::GetModelRequest& request,
                   v1::GetModelResponse* response) const;
  absl::Status Encode(const v1::TokenizeRequest& request,
                      v1::TokenizeResponse* response) const;

  const ModelRegistry* const registry_;
  CallLedger* const ledger_;
};

}  // namespace spar::service
