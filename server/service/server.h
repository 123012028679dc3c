// L5. The gRPC server: the services, health, and reflection on one port.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include <grpcpp/channel.h>
#include <grpcpp/server.h>

#include "server/service/ablation_service.h"
#include "server/service/call_ledger.h"
#include "server/service/decomposition_service.h"
#include "server/service/explanation_service.h"
#include "server/service/model_registry.h"
#include "server/service/model_service.h"
#include "server/service/pruning_service.h"
#include "server/service/training_desk.h"

namespace spar::service {

struct ServerOptions {
  std::string listen = "127.0.0.1:7430";  // HOST:PORT; port 0: any free one
  bool reflection = true;
  ExplanationServiceOptions explanations = {};
  OnCallEnd on_call_end = {};
  TrainingHost* trainings = nullptr;  // outlives the server; null: none
};

// Serves from Start to its destruction. grpc.health.v1 knows "" (the server),
// each service by its full name, and each model as "models/{model}".
//
// Thread-safe but for the destructor.
class Server {
 public:
  // kUnavailable CANNOT_LISTEN. `registry` outlives the server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      const ModelRegistry* registry, const ServerOptions& options);
  // Cancels what is in progress and waits for it.
  ~Server();

  int port() const { return port_; }
  const CallLedger& ledger() const { return ledger_; }
  const TrainingDesk& trainings() const { return trainings_; }
  std::shared_ptr<grpc::Channel> InProcessChannel();

  // Health says NOT_SERVING, then new calls are refused (DRAINING); those in
  // progress go on.
  void Drain();
  // False when calls are still in progress at `deadline`.
  bool WaitUntilIdle(std::chrono::steady_clock::time_point deadline) {
    return ledger_.WaitUntilEmpty(deadline);
  }

 private:
  Server(const ModelRegistry* registry, const ServerOptions& options);
  void SetHealth(bool serving);

  const ModelRegistry* const registry_;
  CallLedger ledger_;
  TrainingDesk trainings_;
  ModelService models_;
  ExplanationService explanations_;
  AblationService ablations_;
  DecompositionService decompositions_;
  PruningService prunings_;
  std::unique_ptr<grpc::Server> server_;  // stops before what it serves goes
  int port_ = 0;
};

}  // namespace spar::service
