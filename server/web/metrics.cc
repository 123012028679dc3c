#include "server/web/metrics.h"

#include <exception>
#include <limits>
#include <span>
#include <vector>

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>

#include "base/status.h"
#include "server/web/metric_family.h"
#include "server/web/training_metrics.h"

namespace spar::web {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr std::string_view kCodeNames[] = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};

std::string CodeName(grpc::StatusCode code) {
  const auto index = static_cast<size_t>(code);
  return std::string(index < std::size(kCodeNames) ? kCodeNames[index]
                                                   : "UNKNOWN");
}

// Reads the sources anew at every scrape.
class Figures final : public prometheus::Collectable {
 public:
  explicit Figures(const MetricsSources& sources) : sources_(sources) {}

  std::vector<MetricFamily> Collect() const override {
    std::vector<MetricFamily> families = {Calls(), LiveCalls(), Batches(),
                                          Rows(), DecompositionBytes()};
    AddTrainingFamilies(sources_.trainings->state(), &families);
    return families;
  }

 private:
  MetricFamily Calls() const {
    MetricFamily family =
        Family("spar_calls_total", "Calls that ended.", MetricType::Counter);
    for (const auto& [labels, count] : sources_.calls->counts()) {
      Add({{"method", labels.first}, {"code", labels.second}},
          static_cast<double>(count), &family);
    }
    return family;
  }

  MetricFamily LiveCalls() const {
    MetricFamily family =
        Family("spar_calls_live",
               "Calls in progress; those of Crystallize are live searches.",
               MetricType::Gauge);
    for (const auto& [method, count] : sources_.ledger->live_by_method()) {
      Add({{"method", std::string(method)}}, count, &family);
    }
    return family;
  }

  MetricFamily Batches() const {
    MetricFamily family = Family("spar_batches_total",
                                 "Device batches, by why each was sent off.",
                                 MetricType::Counter);
    for (const service::ServedModel* model : Models()) {
      const search::BatchCounters counters = model->explainer->batch_counters();
      const std::pair<const char*, int64_t> reasons[] = {
          {"full", counters.flushed_full},
          {"window", counters.flushed_window},
          {"idle", counters.flushed_idle},
      };
      for (const auto& [reason, count] : reasons) {
        Add({{"model", model->id}, {"reason", reason}},
            static_cast<double>(count), &family);
      }
    }
    return family;
  }

  MetricFamily Rows() const {
    MetricFamily family =
        Family("spar_rows_total", "Rows sent in batches.", MetricType::Counter);
    for (const service::ServedModel* model : Models()) {
      Add({{"model", model->id}},
          static_cast<double>(model->explainer->batch_counters().rows),
          &family);
    }
    return family;
  }

  MetricFamily DecompositionBytes() const {
    MetricFamily family =
        Family("spar_decomposition_bytes",
               "Memory of resident decompositions on their model's device.",
               MetricType::Gauge);
    for (const service::ServedModel* model : Models()) {
      const std::span<const models::DecompositionInfo> all =
          model->explainer->decompositions();
      for (const models::DecompositionInfo& info : all) {
        Add({{"model", model->id}, {"decomposition", info.name}},
            static_cast<double>(info.memory_bytes), &family);
      }
    }
    return family;
  }

  std::vector<const service::ServedModel*> Models() const {
    return sources_.registry->List("", std::numeric_limits<size_t>::max());
  }

  const MetricsSources sources_;
};

class PrometheusServer final : public MetricsServer {
 public:
  // Throws what civetweb throws when it cannot listen.
  PrometheusServer(const std::string& listen, const MetricsSources& sources)
      : figures_(std::make_shared<Figures>(sources)), exposer_(listen, 1) {
    exposer_.RegisterCollectable(figures_);
  }

  int port() const override { return exposer_.GetListeningPorts().front(); }

 private:
  const std::shared_ptr<Figures> figures_;
  prometheus::Exposer exposer_;  // stops before what it reads goes
};

}  // namespace

void CallCounter::Count(std::string_view method, grpc::StatusCode code) {
  base::MutexLock lock(mu_);
  ++counts_[{std::string(method), CodeName(code)}];
}

std::map<std::pair<std::string, std::string>, int64_t> CallCounter::counts()
    const {
  base::MutexLock lock(mu_);
  return counts_;
}

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    const std::string& listen, const MetricsSources& sources) {
  // civetweb tells failure by an exception alone; it ends here.
  try {
    return std::make_unique<PrometheusServer>(listen, sources);
  } catch (const std::exception& error) {
    const base::ErrorDetail detail{.reason = "CANNOT_LISTEN",
                                   .metadata = {{"listen", listen}}};
    return base::Error(
        absl::StatusCode::kUnavailable,
        base::Cat("cannot serve metrics on ", listen, ": ", error.what()),
        detail);
  }
}

}  // namespace spar::web
