#include "client/graph/graph_view.h"

#include <functional>
#include <limits>
#include <string>

#include "client/graph/graph_text.h"
#include "client/graph/node_names.h"
#include "client/graph/several_graphs.h"
#include "gtest/gtest.h"

#include "base/status.h"
#include "tests/client/sample_graph.h"

namespace spar::client {
namespace {

TEST(GraphView, RefusesMessagesThatCannotBe) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  using Change = std::function<void(v1::AttributionGraph&)>;
  const Change changes[] = {
      [](auto& g) { g.mutable_nodes(3)->set_site(99); },
      [](auto& g) { g.mutable_nodes(3)->set_site(-1); },
      [](auto& g) { g.mutable_nodes(3)->set_position(3); },
      [](auto& g) { g.mutable_nodes(3)->set_index(-1); },
      [nan](auto& g) {
        g.mutable_nodes(3)->set_activation(static_cast<float>(nan));
      },
      [](auto& g) { *g.mutable_nodes(4) = g.nodes(3); },
      [](auto& g) { g.mutable_edges(0)->set_sources(0, 9); },
      [](auto& g) { g.mutable_edges(0)->set_targets(0, 10); },
      [](auto& g) { g.mutable_edges(0)->set_source_counts(0, 99); },
      [](auto& g) { g.mutable_edges(0)->mutable_values()->RemoveLast(); },
      [](auto& g) { g.mutable_summary()->clear_answer(); },
      [](auto& g) {
        g.mutable_summary()->mutable_answer()->set_target_node(10);
      },
      [](auto& g) {
        g.mutable_summary()->mutable_answer()->set_source_node(-1);
      },
      [nan](auto& g) {
        g.mutable_summary()->mutable_answer()->set_effects(0, nan);
      },
      [](auto& g) {
        g.mutable_summary()->mutable_answer()->mutable_shares()->RemoveLast();
      },
      [](auto& g) {
        g.mutable_summary()->mutable_answer()->mutable_paths(0)->set_nodes(0,
                                                                           -1);
      },
      [](auto& g) {
        g.mutable_summary()->mutable_answer()->mutable_paths(0)->add_nodes(2);
      },
      [](auto& g) {
        g.mutable_summary()->mutable_answer()->add_nodes_between(12);
      },
  };
  const v1::AttributionGraph good = Princess().message();
  EXPECT_TRUE(GraphView::Make(good).ok());
  int number = 0;
  for (const Change& change : changes) {
    v1::AttributionGraph bad = good;
    change(bad);
    const absl::StatusOr<GraphView> made = GraphView::Make(bad);
    ASSERT_FALSE(made.ok()) << "change " << number;
    EXPECT_EQ(base::DetailOf(made.status())->reason, "BAD_GRAPH");
    ++number;
  }
}

TEST(GraphView, AnswersAboutOtherNodes) {
  const GraphView view = Princess();
  const auto answer = AnswerOf(view, {.target = 6,
                                      .source = 0,
                                      .num_paths = 5,
                                      .weighting = v1::PATH_WEIGHTING_PRODUCT});
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->target_node(), 6);
  ASSERT_EQ(answer->paths_size(), 1);
  EXPECT_DOUBLE_EQ(answer->paths(0).value(), 0.25 * 1.5 * 0.375);
  EXPECT_EQ(std::vector<int>(answer->nodes_between().begin(),
                             answer->nodes_between().end()),
            (std::vector<int>{0, 2, 3, 6}));
  EXPECT_DOUBLE_EQ(answer->shares(1), 0.125 / 0.5);
  EXPECT_DOUBLE_EQ(answer->effects(1), -0.125);
  const auto refused = AnswerOf(view, {.target = 10});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(base::DetailOf(refused.status())->reason, "NODE_OUT_OF_RANGE");
}

TEST(NodeNames, AreTheCheckpointsAndFindTheirNode) {
  const GraphView view = Princess();
  const char* const full[] = {"wte",
                              "wte",
                              "h.0.attn.v_proj:5",
                              "h.0.attn.o_proj:9",
                              "h.0.attn.o_proj delta",
                              "h.0.attn.o_proj bias",
                              "h.0.mlp.c_fc:0",
                              "h.0.mlp.down_proj:1672",
                              " her",
                              " his"};
  for (int i = 0; i < view.num_nodes(); ++i) {
    EXPECT_EQ(FullName(view, i), full[i]);
    const auto found =
        FindNode(view, base::Cat(full[i], "@", view.node(i).position()));
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(*found, i);
  }
  EXPECT_EQ(ShortName(view, 7), "L0.down:1672");
  EXPECT_EQ(ShortName(view, 4), "L0.o.delta");
  EXPECT_EQ(ShortName(view, 0), "embed");
  EXPECT_FALSE(FindNode(view, "wte@0").ok());
  EXPECT_FALSE(FindNode(view, "").ok());
}

TEST(GraphText, ShowsTheStrongestPathsAsATree) {
  Style style;
  style.columns = 80;
  EXPECT_EQ(FormatGraph(Princess(), style), R"(
prompt     the princess lost
target     " her"  logit +9.5  probability 59 %  read @2 " lost"
graph      10 nodes, 10 edges; left out 34, 0.99 % of all |edges|
edges of   full norm, the model's own run
residuals  stream 3.1e-07 of 212 readers
paths      the 5 strongest by share

   share       edge  node
   100 %             " her" @2 " lost"
    82 %         +3  ├─ h.0.attn.o_proj:9 @2 " lost"
    82 %       +1.5  │  └─ h.0.attn.v_proj:5 @1 " princess"
    82 %      +0.25  │     └─ wte @1 " princess"  path 66 %
    22 %         +1  ├─ h.0.mlp.down_proj:1672 @2 " lost"
    22 %       +0.1  │  └─ h.0.mlp.c_fc:0 @2 " lost"
    82 %     +0.375  │     ├─ h.0.attn.o_proj:9 @2 " lost"
    82 %       +1.5  │     │  └─ h.0.attn.v_proj:5 @1 " princess"
    82 %      +0.25  │     │     └─ wte @1 " princess"  path 16 %
   5.5 %     -0.125  │     └─ wte @2 " lost"  path 5.5 %
    11 %       -0.5  ├─ h.0.attn.o_proj bias @2 " lost"  path 11 %
   1.4 %    +0.0625  └─ h.0.attn.o_proj delta @2 " lost"  path 1.4 %
)");
}

TEST(GraphText, EscapesAndFits) {
  v1::AttributionGraph message = PrincessMessage();
  message.mutable_header()->mutable_prompt(2)->set_text(
      std::string("\x1b[31mred\n") + std::string(100, 'x'));
  Style style;
  style.unicode = false;
  style.columns = 60;
  const std::string text = FormatGraph(Answered(message, 8), style);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(text.find("|- "), std::string::npos);
  const size_t tree = text.find("share  ");
  ASSERT_NE(tree, std::string::npos);
  for (size_t at = text.find('\n', tree) + 1; at < text.size();) {
    const size_t end = text.find('\n', at);
    EXPECT_LE(end - at, 60u) << text.substr(at, end - at);
    at = end + 1;
  }
}

TEST(SeveralGraphs, CompareAndAddUp) {
  const GraphView left = Princess();
  v1::AttributionGraph prince = PrincessMessage();
  prince.mutable_header()->mutable_prompt(1)->set_id(99);
  prince.mutable_nodes(3)->set_index(10);         // another o
  prince.mutable_edges(0)->set_values(0, 1.25f);  // wte -> v
  const GraphView right = Answered(prince, 9);    // the target is " his"
  const auto comparison = CompareGraphs(left, right);
  ASSERT_TRUE(comparison.ok());
  // All but o:9 and o:10; " her" is " his", so the other " his" is left alone.
  EXPECT_EQ(comparison->common_size(), 8);
  EXPECT_EQ(comparison->only_left_size(), 2);
  EXPECT_EQ(comparison->only_right_size(), 2);
  EXPECT_EQ(comparison->edges(0).right_value(), -2.0f);  // down -> the target
  EXPECT_EQ(comparison->edges(0).left_value(), 1.0f);
  EXPECT_EQ(comparison->edges(1).right_value(), 1.25f);
  const std::string text = FormatComparison(*comparison, left, right, 3, {});
  EXPECT_NE(text.find("8 nodes; 2 only left, 2 only right"), std::string::npos);
  EXPECT_NE(text.find("h.0.attn.o_proj:10 @2"), std::string::npos);

  const GraphView graphs[] = {left, right};
  const auto aggregate = AggregateGraphs(graphs);
  ASSERT_TRUE(aggregate.ok());
  EXPECT_EQ(aggregate->graph_count(), 2);
  EXPECT_EQ(aggregate->components(0).graph_count(), 2);
  EXPECT_EQ(aggregate->components().rbegin()->graph_count(), 1);
  EXPECT_EQ(aggregate->edges(0).magnitude(), 4.0);  // down -> " his", twice
  EXPECT_NE(FormatAggregate(*aggregate, 5, {}).find("h.0.mlp.down_proj:1672"),
            std::string::npos);

  prince.mutable_header()->set_model_digest("cd34");
  EXPECT_FALSE(CompareGraphs(left, Answered(prince, 9)).ok());
}

}  // namespace
}  // namespace spar::client
