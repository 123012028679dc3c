// L1. The entries of `loss_metric_configs`.
#pragma once

#include <vector>

#include "absl/status/statusor.h"

#include "models/snapshot/config_reader.h"
#include "models/train/train_config.h"

namespace spar::models {

// The field "loss_metric_configs". `samples`: runs of stochastic losses that do
// not say.
absl::StatusOr<std::vector<LossConfig>> ReadLosses(ConfigReader& config,
                                                   int samples);

// A schedule at `field`: {start_val, fn_type, warmup_pct, final_val_frac}.
Schedule ReadSchedule(ConfigReader& config, const std::string& field);

// A number that is set or `otherwise`, at least 0.
double ReadNonNegative(ConfigReader& config,
                       const std::string& field,
                       double otherwise,
                       double max);

// A number above 0 that must be there.
double ReadPositive(ConfigReader& config, const std::string& field, double max);

}  // namespace spar::models
