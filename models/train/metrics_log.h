// L1. metrics.jsonl: one JSON object for each logged step.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/status.h"

#include "models/training.h"

namespace spar::models {

// {"phase", "step", "total", "loss/NAME".., "l0/MODULE".., "alive/MODULE"..,
//  "l0", "alive", "lr", "grad_norm/components", "grad_norm/ci_fns", "seconds"}
// on one line.
std::string MetricsLine(const TrainProgress& progress);

// Appends lines to the file. One thread at a time.
class MetricsLog {
 public:
  explicit MetricsLog(std::filesystem::path file) : file_(std::move(file)) {}

  // Drops the lines of steps that are to be done again: those after `step`, of
  // the warm-up none where `step` is above 0. kUnavailable.
  absl::Status TruncateAfter(int64_t step) const;
  // kUnavailable.
  absl::Status Append(const TrainProgress& progress) const;

 private:
  const std::filesystem::path file_;
};

}  // namespace spar::models
