// L3. An attribution graph as one piece, and what is asked about it.
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

#include "graph/graph.h"
#include "graph/paths.h"
#include "graph/weighting.h"
#include "models/attribution.h"
#include "models/backend.h"

namespace spar::search {

// What is answered about the graph, over the edges that it keeps.
struct AttributionQuery {
  // Where influences and paths end; by default the most probable logit of the
  // last position that has any.
  std::optional<std::variant<models::LogitRef, models::NodeRef>> target =
      std::nullopt;
  std::optional<models::NodeRef> source = std::nullopt;  // where paths begin
  int num_paths = 16;
  graph::Weighting weighting = graph::Weighting::kShare;
};

struct AttributionQuestion {
  models::AttributionRequest request = {};
  AttributionQuery query = {};
};

// See spar.v1.AttributionAnswer.
struct AttributionAnswer {
  int target = 0;
  std::vector<double> shares = {};   // [node]
  std::vector<double> effects = {};  // [node]
  graph::Weighting weighting = graph::Weighting::kShare;
  std::vector<graph::Path> paths = {};
  std::optional<int> source = std::nullopt;
  std::vector<int32_t> nodes_between = {};  // with a source
};

struct Attribution {
  models::AttributionNodes nodes = {};
  graph::Graph graph = {};
  models::AttributionSummary summary = {};
  AttributionAnswer answer = {};
  double seconds = 0;
};

// A graph is held whole until its client has it: 12 bytes an edge while it is
// made, 8 after, 16 a node for the answers.
struct AttributionLimits {
  int64_t max_nodes = 131'072;
  int64_t max_edges = int64_t{1} << 22;
};

// Makes the graph and answers the query, on the thread that owns `backend`.
// Errors, beyond the backend's: kInvalidArgument NODE_NOT_IN_GRAPH for a node
// of the query; kResourceExhausted GRAPH_TOO_LARGE; kCancelled after `stop`, at
// most one block of edges later.
absl::StatusOr<Attribution> Attribute(models::Backend& backend,
                                      const AttributionQuestion& question,
                                      const AttributionLimits& limits,
                                      std::stop_token stop);

}  // namespace spar::search
