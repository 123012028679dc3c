// L6. `spard train`: trains a decomposition of one model, no server.
#pragma once

#include "server/config.h"

namespace spar {

// Trains as the configuration file says, with a line of progress on standard
// error and its files in the configured folder. SIGINT and SIGTERM save a
// checkpoint and stop; call BlockStopSignals before. Returns the exit code: 0
// trained to the end, 1 it failed, 2 the configuration or the data is wrong, 3
// stopped by a signal.
int Train(const TrainCommand& command);

}  // namespace spar
