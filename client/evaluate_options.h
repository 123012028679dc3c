// L5. The options of `spar evaluate`.
#pragma once

#include "client/command_line.h"
#include <CLI/CLI.hpp>

namespace spar::client {

// Fills `line`, which outlives the parse.
void AddEvaluateOptions(CLI::App& app, CommandLine& line);

}  // namespace spar::client
