// L1t. Edges through the neurons of one layer: from up, and gate, into down at
// the same position (search.md section 5.5):
//   G = (V_d,c * phi'(up)) . U_up,c'
//   gated: up: (V_d,c * phi(gate)) . U_up,c'
//          gate: (V_d,c * phi'(gate) * up) . U_gate,c'
#pragma once

#include "absl/status/status.h"

#include "models/torch/attribution/incoming.h"
#include "models/torch/attribution/node_table.h"
#include "models/torch/attribution/trace.h"

namespace spar::models {

// Into `targets`, the down of its layer. Throws c10::Error.
absl::Status MlpEdges(const Trace& trace,
                      const NodeTable& nodes,
                      const SiteNodes& targets,
                      IncomingSink& sink);

}  // namespace spar::models
