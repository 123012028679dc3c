// L5. A graph as one HTML page that needs nothing else: no network, no files.
#pragma once

#include <string>

#include "client/graph/graph_layout.h"
#include "client/graph/graph_view.h"

namespace spar::client {

// Text of prompts, tokens and modules is escaped wherever it stands; the page's
// own policy forbids it to load anything or to run any script but its own.
std::string GraphToHtml(const GraphView& view, const LayoutLimits& limits = {});

// `text` for an HTML or SVG element or a quoted attribute. Control characters
// are made visible.
std::string HtmlEscaped(std::string_view text);

}  // namespace spar::client
