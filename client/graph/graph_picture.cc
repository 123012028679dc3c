#include "client/graph/graph_picture.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "client/graph/graph_page.h"
#include "client/graph/node_names.h"
#include "client/text.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr double kRowLabels = 108;  // width of the names of the rows
constexpr double kTokens = 30;      // height of the tokens' names, twice
constexpr int kNodeLabelColumns = 14;
constexpr double kThinnest = 0.5;
constexpr double kThickest = 4.5;
constexpr double kWidestBow = 30;

// Pixels with one decimal.
std::string Px(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.1f", value);
  return buffer;
}

std::string Opacity(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.2f", value);
  return buffer;
}

std::string Open(std::string_view id, double width, double height) {
  return base::Cat("<svg id=\"", id, "\" xmlns=\"http://www.w3.org/2000/svg\" ",
                   "width=\"", Px(width), "\" height=\"", Px(height),
                   "\" viewBox=\"0 0 ", Px(width), " ", Px(height), "\">\n");
}

// Bands of one layer share one stripe.
std::string Stripes(const GraphLayout& layout, double width) {
  std::string stripes;
  for (size_t i = 0; i < layout.bands.size();) {
    const Band& first = layout.bands[i];
    double bottom = first.top;
    for (; i < layout.bands.size() && layout.bands[i].layer == first.layer;
         ++i) {
      bottom = layout.bands[i].top + layout.bands[i].height;
    }
    stripes += base::Cat("<rect class=\"stripe\" x=\"0\" y=\"",
                         Px(kTokens + first.top), "\" width=\"", Px(width),
                         "\" height=\"", Px(bottom - first.top), "\"/>\n");
  }
  return stripes;
}

std::string TokenLabel(std::string_view text) {
  const std::string visible =
      text.find_first_not_of(' ') == std::string_view::npos ? "␣"
                                                            : Escaped(text);
  return HtmlEscaped(Clipped(visible, kNodeLabelColumns, "…"));
}

std::string Columns(const GraphView& view, const GraphLayout& layout) {
  const int read = view.node(view.target()).position();
  std::string columns;
  for (const Column& column : layout.columns) {
    if (column.left > 0) {
      columns +=
          base::Cat("<path class=\"column\" d=\"M", Px(column.left), " ",
                    Px(kTokens), "V", Px(kTokens + layout.height), "\"/>\n");
    }
    const std::string_view text = view.header().prompt(column.position).text();
    for (const double y : {20.0, kTokens + layout.height + 20}) {
      columns += base::Cat("<text class=\"token",
                           column.position == read ? " read" : "", "\" x=\"",
                           Px(column.left + column.width / 2), "\" y=\"", Px(y),
                           "\">", TokenLabel(text), "<title>", column.position,
                           " ", HtmlEscaped(Quoted(text)), "</title></text>\n");
    }
  }
  return columns;
}

std::string EdgePicture(const GraphLayout& layout,
                        const PlacedEdge& edge,
                        double largest) {
  const PlacedNode& from = layout.nodes[static_cast<size_t>(edge.source)];
  const PlacedNode& to = layout.nodes[static_cast<size_t>(edge.target)];
  const double strength = largest > 0 ? std::sqrt(edge.flow / largest) : 0;
  const double middle = kTokens + (from.y + to.y) / 2;
  // Edges along a column bow out, so that those of different length part.
  const bool straight = std::abs(from.x - to.x) < 1;
  const double side = (edge.source + edge.target) % 2 == 0 ? 1 : -1;
  const double bow =
      straight ? side * std::min(kWidestBow, 0.09 * std::abs(from.y - to.y))
               : 0;
  return base::Cat("<path class=\"edge ", edge.value < 0 ? "minus" : "plus",
                   "\" d=\"M", Px(from.x), " ", Px(kTokens + from.y), "C",
                   Px(from.x + bow), " ", Px(middle), " ", Px(to.x + bow), " ",
                   Px(middle), " ", Px(to.x), " ", Px(kTokens + to.y),
                   "\" stroke-width=\"",
                   Px(kThinnest + (kThickest - kThinnest) * strength),
                   "\" opacity=\"", Opacity(0.15 + 0.75 * strength), "\"/>\n");
}

bool IsVector(v1::AttributionNodeKind kind) {
  return kind == v1::ATTRIBUTION_NODE_KIND_DELTA ||
         kind == v1::ATTRIBUTION_NODE_KIND_BIAS;
}

std::string Node(const GraphView& view, const PlacedNode& place) {
  const v1::AttributionNode& node = view.node(place.node);
  const std::string_view part = PartName(view.site(place.node).part());
  const double x = place.x;
  const double y = kTokens + place.y;
  const double r = place.radius;
  const std::string start = base::Cat(
      IsVector(node.kind()) ? "<path" : "<circle", " class=\"node ",
      part == "node" ? "plain" : part, IsVector(node.kind()) ? " vector" : "",
      place.node == view.target() ? " goal" : "", "\" tabindex=\"0\" ");
  const std::string shape =
      IsVector(node.kind())
          ? base::Cat("d=\"M", Px(x), " ", Px(y - r), "L", Px(x + r), " ",
                      Px(y), "L", Px(x), " ", Px(y + r), "L", Px(x - r), " ",
                      Px(y), "Z\"")
          : base::Cat("cx=\"", Px(x), "\" cy=\"", Px(y), "\" r=\"", Px(r),
                      "\"");
  return base::Cat(start, shape, "><title>",
                   HtmlEscaped(FullName(view, place.node)), " @",
                   node.position(), "</title></",
                   IsVector(node.kind()) ? "path" : "circle", ">\n");
}

}  // namespace

std::string Picture(const GraphView& view, const GraphLayout& layout) {
  double largest = 0;
  for (const PlacedEdge& edge : layout.edges) {
    largest = std::max(largest, edge.flow);
  }
  std::string svg = Open("graph", layout.width, layout.height + 2 * kTokens);
  svg += Stripes(layout, layout.width) + Columns(view, layout);
  for (const PlacedEdge& edge : layout.edges)
    svg += EdgePicture(layout, edge, largest);
  for (const PlacedNode& place : layout.nodes) svg += Node(view, place);
  return svg + "</svg>\n";
}

std::string RowLabels(const GraphLayout& layout) {
  std::string svg = Open("rows", kRowLabels, layout.height + 2 * kTokens);
  svg += Stripes(layout, kRowLabels);
  for (size_t i = 0; i < layout.bands.size(); ++i) {
    const Band& band = layout.bands[i];
    const double y = kTokens + band.top + band.height / 2 + 4;
    const bool first = i == 0 || layout.bands[i - 1].layer != band.layer;
    if (first && band.layer >= 0) {
      svg += base::Cat("<text class=\"layer\" x=\"8\" y=\"", Px(y), "\">layer ",
                       band.layer, "</text>\n");
    }
    svg += base::Cat("<text x=\"", Px(kRowLabels - 6), "\" y=\"", Px(y),
                     "\" text-anchor=\"end\">", HtmlEscaped(band.label),
                     "</text>\n");
  }
  return svg + "</svg>\n";
}

}  // namespace spar::client
