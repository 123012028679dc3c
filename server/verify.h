// L6. `spard verify`: one certificate against one model folder, no server.
#pragma once

#include "server/config.h"

namespace spar {

// Prints the verdict on standard output, one finding a line. Returns the exit
// code: 0 it holds, 1 it does not, 2 something cannot be read.
int Verify(const VerifyCommand& command);

}  // namespace spar
