#include "client/graph/graph_page.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "client/graph/graph_picture.h"
#include "gtest/gtest.h"
#include <nlohmann/json.hpp>

#include "base/status.h"
#include "tests/client/sample_graph.h"

namespace spar::client {
namespace {

std::string Between(const std::string& text,
                    const std::string& start,
                    const std::string& end) {
  const size_t from = text.find(start);
  EXPECT_NE(from, std::string::npos) << start;
  const size_t begin = from + start.size();
  return text.substr(begin, text.find(end, begin) - begin);
}

int Count(const std::string& text, const std::string& piece) {
  int count = 0;
  for (size_t at = text.find(piece); at != std::string::npos;
       at = text.find(piece, at + 1)) {
    ++count;
  }
  return count;
}

TEST(GraphLayout, KeepsNodesApartAndInTheirRowAndColumn) {
  const GraphView view = RandomGraphView(200, 7);
  ASSERT_GT(view.num_nodes(), 150);
  const GraphLayout layout = LayOut(view, {});
  ASSERT_EQ(layout.nodes.size(), static_cast<size_t>(view.num_nodes()));
  for (size_t i = 0; i < layout.nodes.size(); ++i) {
    const PlacedNode& a = layout.nodes[i];
    EXPECT_EQ(a.node, static_cast<int>(i));
    const Column& column =
        layout.columns[static_cast<size_t>(view.node(a.node).position())];
    EXPECT_GE(a.x - a.radius, column.left);
    EXPECT_LE(a.x + a.radius, column.left + column.width);
    EXPECT_GE(a.y - a.radius, 0);
    EXPECT_LE(a.y + a.radius, layout.height);
    for (size_t j = 0; j < i; ++j) {
      const PlacedNode& b = layout.nodes[j];
      EXPECT_GT(std::hypot(a.x - b.x, a.y - b.y), a.radius + b.radius)
          << i << " and " << j;
    }
  }
  // What is computed later stands higher.
  for (const PlacedEdge& edge : layout.edges) {
    EXPECT_LT(layout.nodes[static_cast<size_t>(edge.target)].y,
              layout.nodes[static_cast<size_t>(edge.source)].y);
  }
}

TEST(GraphLayout, BeyondItsLimitsKeepsWhatCarriesMost) {
  const GraphView view = RandomGraphView(200, 7);
  const GraphLayout layout = LayOut(view, {.max_nodes = 30, .max_edges = 25});
  ASSERT_EQ(layout.nodes.size(), 30u);
  EXPECT_EQ(layout.nodes_hidden, view.num_nodes() - 30);
  double least = 1;
  std::set<int> kept;
  for (const PlacedNode& node : layout.nodes) {
    kept.insert(node.node);
    least = std::min(least, view.shares()[node.node]);
  }
  EXPECT_EQ(kept.count(view.target()), 1u);
  for (int i = 0; i < view.num_nodes(); ++i) {
    if (kept.count(i) == 0) {
      EXPECT_LE(view.shares()[i], least);
    }
  }
  EXPECT_LE(layout.edges.size(), 25u);
  EXPECT_EQ(layout.edges_hidden + static_cast<int64_t>(layout.edges.size()),
            view.edges().num_edges());
  for (size_t i = 1; i < layout.edges.size(); ++i) {
    EXPECT_LE(layout.edges[i - 1].flow, layout.edges[i].flow);
  }
}

// What flows into a node along drawn edges is what flows out of it, where all
// edges are drawn: its share.
TEST(GraphLayout, FlowsAddUpToShares) {
  const GraphView view = RandomGraphView(120, 5);
  const GraphLayout layout =
      LayOut(view, {.max_nodes = 10'000, .max_edges = 1'000'000});
  std::vector<double> out(static_cast<size_t>(view.num_nodes()), 0.0);
  for (const PlacedEdge& edge : layout.edges) {
    out[static_cast<size_t>(edge.source)] += edge.flow;
  }
  for (int i = 0; i < view.num_nodes(); ++i) {
    if (i == view.target()) continue;
    EXPECT_NEAR(out[static_cast<size_t>(i)], view.shares()[i], 1e-9);
  }
}

TEST(GraphPage, NeedsNothingElse) {
  const std::string page = GraphToHtml(RandomGraphView(200, 7));
  EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
  for (const char* const loader :
       {"http://", "https://", "src=", "href=", "@import", "url(", "fetch(",
        "XMLHttpRequest", "innerHTML", "eval("}) {
    std::string rest = page;
    // The one address is the name of SVG's namespace.
    for (size_t at = rest.find("http://www.w3.org/2000/svg");
         at != std::string::npos;
         at = rest.find("http://www.w3.org/2000/svg")) {
      rest.erase(at, 26);
    }
    EXPECT_EQ(rest.find(loader), std::string::npos) << loader;
  }
}

TEST(GraphPage, HoldsNumbersInThePicturesOrder) {
  const GraphView view = RandomGraphView(200, 7);
  const GraphLayout layout = LayOut(view, {});
  const std::string page = GraphToHtml(view);
  const nlohmann::json data = nlohmann::json::parse(
      Between(page, "id=\"data\">", "</script>"), nullptr, false);
  ASSERT_FALSE(data.is_discarded());
  ASSERT_EQ(data.at("nodes").size(), layout.nodes.size());
  ASSERT_EQ(data.at("edges").size(), layout.edges.size());
  EXPECT_EQ(Count(page, "class=\"node "),
            static_cast<int>(layout.nodes.size()));
  EXPECT_EQ(Count(page, "class=\"edge "),
            static_cast<int>(layout.edges.size()));
  EXPECT_EQ(Count(page, "class=\"edge minus"),
            static_cast<int>(std::count_if(
                layout.edges.begin(), layout.edges.end(),
                [](const PlacedEdge& edge) { return edge.value < 0; })));
  for (size_t i = 0; i < layout.nodes.size(); ++i) {
    EXPECT_EQ(data["nodes"][i]["activation"].get<float>(),
              view.node(layout.nodes[i].node).activation());
  }
  for (size_t i = 0; i < layout.edges.size(); ++i) {
    EXPECT_EQ(data["edges"][i][0], layout.edges[i].source);
    EXPECT_EQ(data["edges"][i][1], layout.edges[i].target);
    EXPECT_EQ(data["edges"][i][2].get<float>(), layout.edges[i].value);
  }
  EXPECT_EQ(layout.nodes[data["target"].get<size_t>()].node, view.target());
  EXPECT_EQ(Count(page, "<li "), 8);
  EXPECT_EQ(data["paths"].size(), 8u);
}

TEST(GraphPage, EscapesEveryTextOfPromptAndModel) {
  const std::string hostile =
      "</script></title></svg><img src=x onerror=\"alert('p0wn')\">\x01&amp;";
  v1::AttributionGraph message = PrincessMessage();
  for (v1::Token& token : *message.mutable_header()->mutable_prompt()) {
    token.set_text(hostile);
  }
  for (v1::AttributionSite& site : *message.mutable_header()->mutable_sites()) {
    site.set_name(hostile);
  }
  for (v1::AttributionNode& node : *message.mutable_nodes()) {
    node.mutable_token()->set_text(hostile);
  }
  message.mutable_header()->set_model(hostile);
  message.mutable_header()->set_decomposition(hostile);
  const std::string page = GraphToHtml(Answered(message, 8));
  EXPECT_GT(Count(page, "p0wn"), 20);
  EXPECT_EQ(page.find("<img"), std::string::npos);
  EXPECT_EQ(page.find("onerror=\"alert"), std::string::npos);
  EXPECT_EQ(page.find('\x01'), std::string::npos);
  EXPECT_EQ(Count(page, "</script>"), 2);  // its own two
  EXPECT_EQ(Count(page, "</title>"),
            1 + Count(page, "<title>") - 1);  // each opened is closed
}

TEST(GraphPage, EscapesWhatHtmlReads) {
  EXPECT_EQ(HtmlEscaped("a<b>&\"c'\n"), "a&lt;b&gt;&amp;&quot;c&#39;\\n");
}

TEST(GraphPage, DrawsTheSmallestGraph) {
  v1::AttributionGraph message;
  FillHeader({"a"}, message);
  const int site = AddSite(message, v1::ATTRIBUTION_PART_LOGITS, -1, "lm_head");
  AddNode(message, v1::ATTRIBUTION_NODE_KIND_LOGIT, site, 0, 7, 1, 1)
      .mutable_token()
      ->set_text("b");
  const std::string page = GraphToHtml(Answered(message, 0));
  EXPECT_EQ(Count(page, "class=\"node "), 1);
  EXPECT_EQ(page.find("nan"), std::string::npos);
}

}  // namespace
}  // namespace spar::client
