// L5. Figures of the training in progress.
#pragma once

#include <optional>
#include <vector>

#include <prometheus/metric_family.h>

#include "server/service/training_desk.h"

namespace spar::web {

// Gauges of its last step, labelled with its model; families without a figure
// where there is none.
void AddTrainingFamilies(const std::optional<service::TrainingState>& state,
                         std::vector<prometheus::MetricFamily>* families);

}  // namespace spar::web
