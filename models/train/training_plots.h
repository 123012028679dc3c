// L1. metrics.jsonl as charts.
#pragma once

#include <filesystem>

#include "absl/status/status.h"

namespace spar::models {

// Reads metrics.jsonl of a training's output folder and writes, over the steps
// behind the warm-up, plots/losses.svg (the total and each loss before its
// coefficient, logarithmic), plots/l0.svg and plots/alive.svg (of all modules,
// and of each where they are at most eleven); over those of the warm-up, where
// there was one, plots/faithfulness.svg. Lines that are no such object are left
// out, and of many every so-manieth is drawn. kUnavailable.
absl::Status WriteTrainingPlots(const std::filesystem::path& output);

}  // namespace spar::models
