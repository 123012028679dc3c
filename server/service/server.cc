#include "server/service/server.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/server_builder.h>

#include "base/status.h"

namespace spar::service {
namespace {

// What a client that has just been answered gets before its connection ends.
constexpr std::chrono::milliseconds kGrace{200};

// Linking gRPC's reflection library turns reflection on for every server of the
// process; this takes it off one.
class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments* /*arguments*/) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>*
                         plugins) override {
    plugins->erase(std::remove_if(plugins->begin(), plugins->end(),
                                  [](const auto& plugin) {
                                    return plugin->name() ==
                                           "proto_server_reflection";
                                  }),
                   plugins->end());
  }
};

void Tune(grpc::ServerBuilder* builder) {
  // Two servers on one port would share its connections at random.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A peer that vanished without a word is noticed within two minutes, and
  // its search ends; clients may ask after us as often as every 20 seconds.
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 20'000);
}

}  // namespace

Server::Server(const ModelRegistry* registry, const ServerOptions& options)
    : registry_(registry),
      ledger_(options.on_call_end),
      trainings_(options.trainings),
      models_(registry, &ledger_),
      explanations_(registry, &ledger_, options.explanations),
      ablations_(registry, &ledger_),
      decompositions_(registry, &ledger_, &trainings_),
      prunings_(registry, &ledger_) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    const ModelRegistry* registry, const ServerOptions& options) {
  std::unique_ptr<Server> server(new Server(registry, options));
  grpc::EnableDefaultHealthCheckService(true);
  if (options.reflection) {
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  }
  grpc::ServerBuilder builder;
  Tune(&builder);
  if (!options.reflection) {
    builder.SetOption(std::make_unique<WithoutReflection>());
  }
  builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(),
                           &server->port_);
  builder.RegisterService(&server->models_);
  builder.RegisterService(&server->explanations_);
  builder.RegisterService(&server->ablations_);
  builder.RegisterService(&server->decompositions_);
  builder.RegisterService(&server->prunings_);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || server->port_ == 0) {
    const base::ErrorDetail detail{.reason = "CANNOT_LISTEN",
                                   .metadata = {{"listen", options.listen}}};
    return base::Error(
        absl::StatusCode::kUnavailable,
        base::Cat("cannot listen on ", options.listen,
                  ": not an address of this machine, or taken already"),
        detail);
  }
  server->SetHealth(true);
  return server;
}

Server::~Server() {
  if (server_ == nullptr) return;
  Drain();
  server_->Shutdown(std::chrono::system_clock::now() + kGrace);
  server_->Wait();  // each call ends once its search has
}

std::shared_ptr<grpc::Channel> Server::InProcessChannel() {
  return server_->InProcessChannel(grpc::ChannelArguments());
}

// Who reads NOT_SERVING is refused from then on.
void Server::Drain() {
  ledger_.Drain();
  SetHealth(false);
}

void Server::SetHealth(bool serving) {
  grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
  health->SetServingStatus("", serving);
  health->SetServingStatus(v1::ModelService::service_full_name(), serving);
  health->SetServingStatus(v1::ExplanationService::service_full_name(),
                           serving);
  health->SetServingStatus(v1::AblationService::service_full_name(), serving);
  health->SetServingStatus(v1::DecompositionService::service_full_name(),
                           serving);
  health->SetServingStatus(v1::PruningService::service_full_name(), serving);
  for (const ServedModel* model :
       registry_->List("", std::numeric_limits<size_t>::max())) {
    health->SetServingStatus(model->ResourceName(), serving);
  }
}

}  // namespace spar::service
