// L5. Options about a set that an earlier command has found.
#pragma once

#include <string>

#include "client/command_line.h"

namespace CLI {
class App;
}  // namespace CLI

namespace spar::client {

// `name`, for example "--nodes-from", the file; --row and --certified say which
// of its sets.
void AddSetOptions(CLI::App& app,
                   const std::string& name,
                   const std::string& help,
                   CommandLine& line);

}  // namespace spar::client
