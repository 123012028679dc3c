// L5. The options of `spar prune`.
#pragma once

#include "client/command_line.h"

namespace CLI {
class App;
}  // namespace CLI

namespace spar::client {

// They fill `line`, which outlives the parse.
void AddPruneOptions(CLI::App& app, CommandLine& line);

}  // namespace spar::client
