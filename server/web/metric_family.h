// L5. Figures as prometheus-cpp takes them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <prometheus/metric_family.h>

namespace spar::web {

inline prometheus::MetricFamily Family(std::string name,
                                       std::string help,
                                       prometheus::MetricType type) {
  prometheus::MetricFamily family;
  family.name = std::move(name);
  family.help = std::move(help);
  family.type = type;
  return family;
}

// A counter's or a gauge's.
inline void Add(std::vector<prometheus::ClientMetric::Label> labels,
                double value,
                prometheus::MetricFamily* family) {
  prometheus::ClientMetric metric;
  metric.label = std::move(labels);
  (family->type == prometheus::MetricType::Counter ? metric.counter.value
                                                   : metric.gauge.value) =
      value;
  family->metric.push_back(std::move(metric));
}

}  // namespace spar::web
