// L6. The life of a server: from its models to its last call.
#pragma once

#include "server/config.h"

namespace spar {

// Blocks SIGTERM and SIGINT in this thread and in all that it starts, so that
// Serve can wait for them. Call first in main.
void BlockStopSignals();

// Whether a stop signal has arrived since it was last asked.
bool StopSignalPending();

// Serves until SIGTERM or SIGINT, then lets the calls in progress finish for
// command.drain_seconds (a second signal ends the wait) and cancels the rest.
// Prints "listening on HOST:PORT" on standard output once it serves. Returns
// the exit code.
int Serve(const ServeCommand& command);

}  // namespace spar
