// L5. /metrics: what Prometheus reads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

#include "base/mutex.h"
#include "server/service/call_ledger.h"
#include "server/service/model_registry.h"
#include "server/service/training_desk.h"

namespace spar::web {

// Calls that ended, by method and code. Thread-safe.
class CallCounter {
 public:
  void Count(std::string_view method, grpc::StatusCode code);
  // By {method, code's name}.
  std::map<std::pair<std::string, std::string>, int64_t> counts() const;

 private:
  mutable base::Mutex mu_;
  std::map<std::pair<std::string, std::string>, int64_t> counts_
      ABSL_GUARDED_BY(mu_);
};

// What the figures are read from; all of it outlives the server.
struct MetricsSources {
  const CallCounter* calls = nullptr;
  const service::CallLedger* ledger = nullptr;
  const service::ModelRegistry* registry = nullptr;
  const service::TrainingDesk* trainings = nullptr;
};

// An HTTP server with /metrics alone, on threads of its own, from Start to its
// destruction.
class MetricsServer {
 public:
  // `listen` is HOST:PORT. kUnavailable CANNOT_LISTEN.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(
      const std::string& listen, const MetricsSources& sources);
  virtual ~MetricsServer() = default;

  virtual int port() const = 0;
};

}  // namespace spar::web
