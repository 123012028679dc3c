// L5. The options of the commands about attribution graphs.
#pragma once

#include "client/command_line.h"

namespace CLI {
class App;
}  // namespace CLI

namespace spar::client {

// What `spar attribute` asks the server for.
void AddAttributeRequest(CLI::App& app, CommandLine& line);

// What `spar graph` asks about a saved graph.
void AddGraphQuestion(CLI::App& app, CommandLine& line);

// Where and how a graph is written beside the terminal.
void AddGraphOutput(CLI::App& app, CommandLine& line);

// How many lines `spar compare` and `spar aggregate` print of each kind.
void AddLineCount(CLI::App& app, CommandLine& line);

}  // namespace spar::client
