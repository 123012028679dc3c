// L5. The options of `spar decompositions` and `spar importances`.
#pragma once

#include "client/command_line.h"
#include <CLI/CLI.hpp>

namespace spar::client {

// Both fill `line`, which outlives the parse.
void AddDecompositionOptions(CLI::App& app, CommandLine& line);
void AddImportanceOptions(CLI::App& app, CommandLine& line);

}  // namespace spar::client
