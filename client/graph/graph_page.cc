#include "client/graph/graph_page.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "client/graph/graph_picture.h"
#include "client/graph/json_writer.h"
#include "client/graph/node_names.h"
#include "client/graph/page_parts.h"
#include "client/text.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr int kMostPaths = 8;
constexpr size_t kFewEdges = 600;  // what a page shows before anyone asks

// The numbers that the script shows; what it points at is the picture's order.
std::string Data(const GraphView& view, const GraphLayout& layout) {
  std::map<int, int> placed;
  JsonWriter json;
  json.BeginObject();
  json.Key("nodes");
  json.BeginArray();
  for (const PlacedNode& place : layout.nodes) {
    const v1::AttributionNode& node = view.node(place.node);
    placed.emplace(place.node, static_cast<int>(placed.size()));
    json.BeginObject();
    json.Member("name", Escaped(ShortName(view, place.node)));
    const std::string full = FullName(view, place.node);
    json.Member("full", node.kind() == v1::ATTRIBUTION_NODE_KIND_LOGIT
                            ? Quoted(full)
                            : Escaped(full));
    json.Member("part", PartName(view.site(place.node).part()));
    json.Member("position", node.position());
    json.Member("token", Quoted(view.header().prompt(node.position()).text()));
    json.Member("activation", node.activation());
    json.Member("importance", node.importance());
    json.Member("share", view.shares()[place.node]);
    json.Member("effect", view.effects()[place.node]);
    json.EndObject();
  }
  json.EndArray();
  json.Key("edges");
  json.BeginArray();
  for (const PlacedEdge& edge : layout.edges) {
    json.BeginArray();
    json.Int(edge.source);
    json.Int(edge.target);
    json.Number(edge.value);
    json.EndArray();
  }
  json.EndArray();
  json.Key("paths");
  json.BeginArray();
  const auto& paths = view.message().summary().answer().paths();
  for (int i = 0; i < std::min(kMostPaths, paths.size()); ++i) {
    json.BeginArray();
    for (const int32_t node : paths[i].nodes()) {
      const auto found = placed.find(node);
      json.Int(found == placed.end() ? -1 : found->second);
    }
    json.EndArray();
  }
  json.EndArray();
  json.Member("target", placed.at(view.target()));
  json.EndObject();
  return json.Take();
}

std::string TargetName(const GraphView& view) {
  const std::string name = ShortName(view, view.target());
  const bool is_logit =
      view.node(view.target()).kind() == v1::ATTRIBUTION_NODE_KIND_LOGIT;
  return is_logit ? base::Cat("\"", name, "\"") : name;
}

std::string Fact(std::string_view label, std::string_view value) {
  return base::Cat("<b>", HtmlEscaped(value), "</b> ", HtmlEscaped(label));
}

// The parts that are on the page, in order of computation.
std::string Key(const GraphView& view, const GraphLayout& layout) {
  std::vector<std::string_view> parts;
  bool vectors = false;
  for (const PlacedNode& place : layout.nodes) {
    const std::string_view part = PartName(view.site(place.node).part());
    if (std::find(parts.begin(), parts.end(), part) == parts.end()) {
      parts.push_back(part);
    }
    const v1::AttributionNodeKind kind = view.node(place.node).kind();
    vectors = vectors || kind == v1::ATTRIBUTION_NODE_KIND_DELTA ||
              kind == v1::ATTRIBUTION_NODE_KIND_BIAS;
  }
  std::string key = "<div class=\"key\">";
  for (const std::string_view part : parts) {
    key += base::Cat("<span><svg width=\"12\" height=\"12\"><circle class=\"",
                     part == "node" ? "plain" : part,
                     "\" cx=\"6\" cy=\"6\" r=\"5\"/></svg>", part, "</span>");
  }
  if (vectors) {
    key +=
        "<span><svg width=\"12\" height=\"12\"><path class=\"plain vector\" "
        "d=\"M6 0L12 6L6 12L0 6Z\"/></svg>delta, bias</span>";
  }
  for (const bool plus : {true, false}) {
    key += base::Cat("<span><svg width=\"16\" height=\"12\"><path class=\"",
                     plus ? "plus" : "minus",
                     "\" stroke-width=\"3\" d=\"M0 6H16\"/></svg>",
                     plus ? "adds" : "takes away", "</span>");
  }
  return key + "</div>\n";
}

std::string Head(const GraphView& view, const GraphLayout& layout) {
  const v1::AttributionHeader& header = view.header();
  const v1::AttributionSummary& summary = view.message().summary();
  const v1::AttributeOptions& options = header.options();
  std::string facts = Fact("nodes", WithCommas(view.num_nodes())) +
                      " &middot; " +
                      Fact("edges", WithCommas(view.edges().num_edges()));
  if (layout.nodes_hidden > 0 || layout.edges_hidden > 0) {
    facts += base::Cat(
        " (drawn: ", WithCommas(static_cast<int64_t>(layout.nodes.size())),
        " and ", WithCommas(static_cast<int64_t>(layout.edges.size())),
        ", those that carry most)");
  }
  const int64_t left_out = summary.below_count() + summary.cut_count();
  if (left_out > 0) {
    facts += " &middot; " + Fact("edges left out", WithCommas(left_out));
  }
  facts += base::Cat(
      " &middot; ",
      options.norm() == v1::NORM_GRADIENT_FROZEN ? "frozen" : "full", " norm",
      options.importance_factor() ? ", importance factor" : "", " &middot; ",
      HtmlEscaped(header.model()),
      header.decomposition().empty()
          ? std::string()
          : base::Cat(" / ", HtmlEscaped(header.decomposition())));
  return base::Cat("<header><h1>", HtmlEscaped(PromptText(header)),
                   "<span class=\"arrow\">&rarr;</span><span class=\"target\">",
                   HtmlEscaped(TargetName(view)), "</span></h1>\n",
                   Key(view, layout), "<p class=\"facts\">", facts,
                   "</p></header>\n");
}

std::string PathItem(const GraphView& view, const v1::AttributionPath& path) {
  std::string names;
  int position = -1;
  for (const int32_t node : path.nodes()) {
    const int here = view.node(node).position();
    if (!names.empty()) names += " &rarr; ";
    names += HtmlEscaped(ShortName(view, node));
    if (here != position) {
      names +=
          base::Cat("<span class=\"hint\"> @", here, " ",
                    HtmlEscaped(view.header().prompt(here).text()), "</span>");
    }
    position = here;
  }
  char value[40];
  const bool share = view.message().summary().answer().path_weighting() ==
                     v1::PATH_WEIGHTING_SHARE;
  std::snprintf(value, sizeof value, share ? "%.2f %%" : "%+.3g",
                share ? 100 * path.value() : path.value());
  return base::Cat("<li tabindex=\"0\"><span class=\"value\">", value,
                   "</span>", names, "</li>\n");
}

std::string Paths(const GraphView& view) {
  const auto& paths = view.message().summary().answer().paths();
  if (paths.empty()) return "";
  std::string items;
  for (int i = 0; i < std::min(kMostPaths, paths.size()); ++i) {
    items += PathItem(view, paths[i]);
  }
  return base::Cat("<h2>Strongest paths</h2>\n<ol id=\"paths\">\n", items,
                   "</ol>\n");
}

std::string Side(const GraphView& view, const GraphLayout& layout) {
  const size_t shown = std::min(kFewEdges, layout.edges.size());
  return base::Cat(
      "<aside>\n<div id=\"detail\"></div>\n", Paths(view),
      "<h2>Edges shown: <span id=\"count\">", shown,
      "</span></h2>\n<input id=\"shown\" type=\"range\" aria-label=\"edges "
      "shown\" min=\"0\" max=\"",
      layout.edges.size(), "\" value=\"", shown,
      "\">\n<p class=\"hint\">A node's size is the share of the target's input "
      "that passes through it, an edge's width the share that passes along it. "
      "Click a node or a path to keep it lit, Escape to let go.</p>\n"
      "</aside>\n");
}

}  // namespace

std::string HtmlEscaped(std::string_view text) {
  std::string html;
  for (const char c : Escaped(text)) {
    switch (c) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      case '\'':
        html += "&#39;";
        break;
      default:
        html += c;
    }
  }
  return html;
}

std::string GraphToHtml(const GraphView& view, const LayoutLimits& limits) {
  const GraphLayout layout = LayOut(view, limits);
  return base::Cat(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
      "'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
      "<title>",
      HtmlEscaped(PromptText(view.header())), "</title>\n<style>\n", kPageStyle,
      "</style>\n</head>\n<body>\n", Head(view, layout),
      "<main>\n<div id=\"scroll\"><div id=\"picture\">\n", RowLabels(layout),
      Picture(view, layout), "</div></div>\n", Side(view, layout),
      "</main>\n<script type=\"application/json\" id=\"data\">",
      Data(view, layout), "</script>\n<script>\n", kPageScript,
      "</script>\n</body>\n</html>\n");
}

}  // namespace spar::client
