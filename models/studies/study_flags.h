// L1t. What the programs that run studies share: flags, and lines of progress.
#pragma once

#include <cstdint>

#include <CLI/App.hpp>

#include "models/training.h"

namespace spar::studies {

// --seed and --threads.
void AddSeedAndThreads(CLI::App& app, uint64_t& seed, int& threads);

// A line on the standard error stream for every so many steps, and the last:
// the loss terms, and each module's L0 and alive subcomponents.
void PrintStep(const models::TrainProgress& progress, int64_t every);

}  // namespace spar::studies
