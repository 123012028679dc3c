// L5. Attribution graphs for a terminal.
#pragma once

#include <string>

#include "client/graph/graph_view.h"
#include "client/style.h"

namespace spar::client {

// What the graph is of, how well it keeps its identities, and the answer's
// strongest paths as a tree: the target is the root, and below each node stand
// the nodes that the paths come from.
std::string FormatGraph(const GraphView& view, const Style& style);

}  // namespace spar::client
