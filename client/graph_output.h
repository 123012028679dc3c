// L5. A graph on its way out of `spar`: terminal, exports, page.
#pragma once

#include "absl/status/status.h"
#include "client/graph/graph_view.h"
#include "client/session.h"

namespace spar::client {

// Before any work: whether the files of the command line can be written.
absl::Status CheckGraphFiles(const GraphArguments& arguments);

// Writes the files, then prints the graph unless the output is JSON. An exit
// code.
int OutputGraph(Session& session, const GraphView& view);

}  // namespace spar::client
