// L5. Nodes as circuit-tracer's and Neuronpedia's viewers number them.
//
// Note [Feature numbers]
// Their ids name a feature by layer, number and position, "2_1672_4", and a
// viewer that reads an id back splits it at the underscores. A layer of ours
// has several parts, so a node's number is 16 x its index + its part, which
// tells both again. Nodes that are no features (Delta, biases) have negative
// numbers,
// -(2 x part + 1) and -(2 x part + 2): as circuit-tracer's error nodes have, so
// no id is there twice. (Its older files name an error node as they name a
// feature of layer 0.)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "client/graph/graph_view.h"

namespace spar::client {

struct TracedNode {
  std::string id = {};         // unique
  std::string js_id = {};      // the same for a feature at all positions
  int64_t feature = 0;         // of a feature: its pair (layer, number)
  std::string layer = {};      // "E", "0", ...; logits: layers + 1
  int32_t position = 0;        //
  std::string_view type = {};  // "embedding", "logit", ...
  std::string label = {};      //
  double cumulative = 0;       // see Cumulative
  bool is_feature = false;     // a subcomponent, neuron or head
  bool is_logit = false;       //
};

// Cantor's pairing of two numbers of at least 0: (x + y)(x + y + 1) / 2 + y.
int64_t CantorPair(int64_t x, int64_t y);

// By node number. `bias_type` is the type of biases.
std::vector<TracedNode> TracedNodes(const GraphView& view,
                                    std::string_view bias_type);

// [node]: the share of all nodes' influence that this node and all of larger
// influence have together, which is what these viewers hide nodes by: showing
// those up to x shows the fewest nodes that hold x.
std::vector<double> Cumulative(const GraphView& view);

// 16 hex digits that depend on the model, the prompt and the options alone.
std::string GraphDigest(const v1::AttributionHeader& header);

// The resource name without "models/", and the decomposition's after a dash.
std::string ScanName(const v1::AttributionHeader& header);

}  // namespace spar::client
