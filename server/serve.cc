#include "server/serve.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "server/model_loader.h"
#include "server/service/server.h"
#include "server/training_host.h"
#include "server/web/metrics.h"

namespace spar {
namespace {

using std::chrono::steady_clock;

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

std::string AwaitStopSignal() {
  const sigset_t signals = StopSignals();
  int signal = 0;
  sigwait(&signals, &signal);
  return signal == SIGTERM ? "SIGTERM" : "SIGINT";
}

void Drain(std::chrono::seconds limit, service::Server* server) {
  constexpr std::chrono::milliseconds kStep{50};
  server->Drain();
  const auto deadline = steady_clock::now() + limit;
  while (!server->WaitUntilIdle(steady_clock::now() + kStep)) {
    const bool impatient = StopSignalPending();
    if (!impatient && steady_clock::now() < deadline) continue;
    base::LogWarning(base::Cat("cancelling ", server->ledger().live(),
                               " calls that are still in progress"));
    return;
  }
}

absl::Status ServeModels(const ServeCommand& command,
                         const service::ModelRegistry& registry) {
  web::CallCounter calls;
  service::ServerOptions options;
  options.listen = command.listen.ToString();
  options.reflection = command.reflection;
  options.on_call_end = [&calls](std::string_view method,
                                 grpc::StatusCode code) {
    calls.Count(method, code);
  };
  const std::unique_ptr<service::TrainingHost> trainings =
      MakeTrainingHost(command);
  options.trainings = trainings.get();
  ASSIGN_OR_RETURN(std::unique_ptr<service::Server> server,
                   service::Server::Start(&registry, options));

  std::unique_ptr<web::MetricsServer> metrics;
  if (command.metrics_listen.has_value()) {
    const web::MetricsSources sources{.calls = &calls,
                                      .ledger = &server->ledger(),
                                      .registry = &registry,
                                      .trainings = &server->trainings()};
    ASSIGN_OR_RETURN(metrics, web::MetricsServer::Start(
                                  command.metrics_listen->ToString(), sources));
    base::LogInfo(base::Cat("metrics on port ", metrics->port()));
  }

  ListenAddress bound = command.listen;
  bound.port = server->port();
  std::printf("listening on %s\n", bound.ToString().c_str());
  std::fflush(stdout);
  base::LogInfo(base::Cat("stopping on ", AwaitStopSignal(), ": ",
                          server->ledger().live(), " calls in progress"));
  Drain(std::chrono::seconds(command.drain_seconds), server.get());
  return absl::OkStatus();
}

}  // namespace

void BlockStopSignals() {
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // A reader of our output that has gone away is no reason to die.
  std::signal(SIGPIPE, SIG_IGN);
}

bool StopSignalPending() {
  const sigset_t signals = StopSignals();
  const timespec at_once = {};
  return sigtimedwait(&signals, nullptr, &at_once) > 0;
}

int Serve(const ServeCommand& command) {
  service::ModelRegistry registry;
  absl::Status status = LoadModels(command, &registry);
  if (status.ok()) status = ServeModels(command, registry);
  if (status.ok()) {
    base::LogInfo("stopped");
    return 0;
  }
  base::LogError(base::MessageOf(status));
  return 1;
}

}  // namespace spar
