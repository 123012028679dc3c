// L1t. The sites that the graph of a run has.
#pragma once

#include <vector>

#include "models/torch/attribution/node_table.h"
#include "models/torch/attribution/trace.h"

namespace spar::models {

// In the order of computation, with their vector nodes and without scalar ones.
// Of a run with factors: the embedding, every matrix, the logits. Without: the
// embedding, the heads and neurons of every layer and what biases write beside
// them, the logits.
std::vector<SiteNodes> SitesOf(const Trace& trace);

}  // namespace spar::models
