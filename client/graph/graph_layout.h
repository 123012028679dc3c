// L5. Where the nodes of a graph go on a page: tokens as columns, layers as
// rows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/graph/graph_view.h"

namespace spar::client {

struct LayoutLimits {
  int max_nodes = 400;
  int max_edges = 2000;
};

// All lengths are pixels; y grows downwards, so later layers have smaller y.
struct PlacedNode {
  int node = 0;  // of the graph
  double x = 0;  // its centre
  double y = 0;
  double radius = 0;  // by the square root of its share
};

struct PlacedEdge {
  int source = 0;  // indices of GraphLayout::nodes
  int target = 0;
  float value = 0;
  // How much of the target's influence passes along it: the share of its target
  // times its part of the target's input. In [0, 1].
  double flow = 0;
};

// One site: a row.
struct Band {
  std::string label = {};  // "q", "down", "embed"
  int layer = 0;           // -1: the embedding and the logits
  double top = 0;
  double height = 0;
};

// One position with room for its nodes and its token.
struct Column {
  int position = 0;
  double left = 0;
  double width = 0;
};

struct GraphLayout {
  double width = 0;
  double height = 0;
  std::vector<PlacedNode> nodes = {};  // by number
  std::vector<PlacedEdge> edges = {};  // the strongest flow last, so on top
  std::vector<Band> bands = {};        // from the top: the last site first
  std::vector<Column> columns = {};    // every position of the prompt
  int nodes_hidden = 0;
  int64_t edges_hidden = 0;
};

// Beyond the limits, the nodes of the largest share and the edges of the
// largest flow among them are placed; the target always is. Sites without a
// placed node get no row.
GraphLayout LayOut(const GraphView& view, const LayoutLimits& limits);

}  // namespace spar::client
