// L5. Several prompts on the command line.
#pragma once

#include "client/command_line.h"

namespace CLI {
class App;
}  // namespace CLI

namespace spar::client {

// The last positional arguments of `app`, and --tokens.
void AddPromptsOptions(CLI::App& app, CommandLine& line);

}  // namespace spar::client
