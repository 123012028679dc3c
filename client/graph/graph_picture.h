// L5. The SVG of a laid-out graph.
#pragma once

#include <string>

#include "client/graph/graph_layout.h"
#include "client/graph/graph_view.h"

namespace spar::client {

// Elements of class "node" and "edge" come in the layout's order. Colours are
// classes of the page's style.
std::string Picture(const GraphView& view, const GraphLayout& layout);

// The names of the rows: a picture of the same height, to stand beside it.
std::string RowLabels(const GraphLayout& layout);

}  // namespace spar::client
