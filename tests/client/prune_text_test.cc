#include "client/prune_text.h"

#include <string>

#include "client/pruned_rows.h"
#include <gtest/gtest.h>

#include "tests/client/sample_pruning.h"

namespace spar::client {
namespace {

PruneAnswer SampleAnswer() {
  return *ReadAll(SampleMessages());
}

Style PlainStyle() {
  Style style;
  style.unicode = false;
  return style;
}

TEST(FormatPruning, SaysWhatHowManyAndHowLong) {
  EXPECT_EQ(FormatPruning(SampleAnswer(), PlainStyle()),
            "pruned     1 prompt at 3 prices, nodes of main; 600 steps, "
            "3.00 s\n");
}

TEST(FormatPrunedPrompt, ShowsTheCurveAndTheChosenRow) {
  EXPECT_EQ(
      FormatPrunedPrompt(SampleAnswer(), 0, PlainStyle()),
      "\n"
      "prompt     the capital of japan is\n"
      "target     \" city\" after position 3\n"
      "model      margin +5.000   p 50 %   CE 0.0100   KL 0.0050\n"
      "\n"
      "   row  coefficient    nodes                    L0       CE"
      "                    KL   margin\n"
      "     2            1        1 ###              0.25   1.5000"
      " ############   0.7500   -1.000  *\n"
      "     1          0.1        2 ######           0.50   1.0000"
      " ########       0.5000   +0.500  *\n"
      "     0         0.01        4 ############     1.00   0.5000"
      " ####           0.2500   +2.000  *\n"
      "  * on the frontier: nothing with fewer nodes, or as many, loses less\n"
      "\n"
      "chosen     row 1: the smallest set on the frontier that still says "
      "\" city\"\n"
      "nodes      2 of 120 that it started from, after 200 steps\n"
      "masked     margin +2.000   p 50 %   CE 0.5000   KL 0.2500\n"
      "rounded    margin +0.500   p 50 %   CE 1.0000   KL 0.5000\n"
      "\n"
      "position      kept  module:subcomponent\n"
      "1 \"capital\"      1  h.1.mlp.c_fc:2\n"
      "3 \"japan\"        1  h.0.attn.q_proj:7\n");
}

TEST(FormatPrunedPrompt, SaysWhereNoSetSaysTheTarget) {
  PruneAnswer answer = SampleAnswer();
  for (v1::PruneCurvePoint& point :
       *answer.summary.mutable_curves(0)->mutable_points()) {
    point.set_margin(point.margin() - 10);
  }
  const std::string text = FormatPrunedPrompt(answer, 0, PlainStyle());
  EXPECT_NE(
      text.find("chosen     row 0: no set on the frontier says \" city\", "
                "this one comes closest\n"),
      text.npos)
      << text;
}

TEST(FormatPrunedPrompt, ShowsWhatSearchesAndAttacksCameTo) {
  PruneAnswer answer = SampleAnswer();
  for (int i = 0; i < 3; ++i) {
    answer.explanations[i] = SampleRowExplanation(i).explanation();
  }
  answer.summary.mutable_curves(0)
      ->mutable_points(1)
      ->set_crystallized_node_count(1234);
  *answer.rows[1].mutable_attacked_run() = Reading(2, -3);
  answer.rows[1].set_stopped_early(true);
  answer.summary.mutable_curves(0)->mutable_points(0)->set_on_frontier(false);
  const std::string text = FormatPrunedPrompt(answer, 0, PlainStyle());
  EXPECT_NE(text.find("  certified\n"), text.npos) << text;
  EXPECT_NE(text.find("+0.500  *      1,234\n"), text.npos) << text;
  EXPECT_NE(text.find("+2.000  *          -\n"), text.npos) << text;
  EXPECT_NE(text.find("-1.000             -\n"), text.npos) << text;
  EXPECT_NE(text.find("attacked   margin -3.000"), text.npos) << text;
  EXPECT_NE(text.find("200 steps, ended early\n"), text.npos) << text;
}

TEST(FormatPrunedPrompt, MeasuresBarsByTheLossInUse) {
  PruneAnswer answer = SampleAnswer();
  answer.header.mutable_options()->set_loss(v1::PRUNE_LOSS_DIVERGENCE);
  const std::string text = FormatPrunedPrompt(answer, 0, PlainStyle());
  EXPECT_NE(text.find("   1.5000   0.7500 ############   -1.000  *\n"),
            text.npos)
      << text;
}

TEST(FormatPrunedPrompt, LeavesBarsOutWhereTheScreenIsNarrow) {
  Style style = PlainStyle();
  style.columns = 80;
  std::string text = FormatPrunedPrompt(SampleAnswer(), 0, style);
  EXPECT_EQ(text.find('#'), text.npos) << text;
  style.columns = 92;
  text = FormatPrunedPrompt(SampleAnswer(), 0, style);
  EXPECT_NE(text.find('#'), text.npos) << text;
}

TEST(FormatPrunedPrompt, SurvivesTextOfATerminalAndRowsWithoutNodes) {
  PruneAnswer answer = SampleAnswer();
  answer.header.mutable_prompts(0)->mutable_tokens(0)->set_text("\x1b[2J");
  answer.rows[1].mutable_target()->set_text("\x1b");
  answer.rows[0].mutable_target()->set_text("\x1b");
  answer.rows[1].clear_nodes();
  const std::string text = FormatPrunedPrompt(answer, 0, Style());
  EXPECT_EQ(text.find('\x1b'), text.npos);
  EXPECT_NE(text.find("too many nodes to be told"), text.npos) << text;
  EXPECT_NE(text.find("█"), text.npos) << text;
  EXPECT_NE(text.find("●"), text.npos) << text;
}

TEST(ChosenPoint, PrefersTheFrontierThenTheSmallest) {
  v1::PruneCurve curve;
  const auto add = [&curve](int64_t nodes, double margin, bool on_frontier) {
    v1::PruneCurvePoint& point = *curve.add_points();
    point.set_node_count(nodes);
    point.set_margin(margin);
    point.set_on_frontier(on_frontier);
  };
  add(1, -0.5, true);
  EXPECT_EQ(ChosenPoint(curve), 0);
  add(3, -2, true);
  EXPECT_EQ(ChosenPoint(curve), 0);
  add(9, 4, true);
  EXPECT_EQ(ChosenPoint(curve), 2);
  add(5, 1, true);
  EXPECT_EQ(ChosenPoint(curve), 3);
  add(4, 7, false);
  EXPECT_EQ(ChosenPoint(curve), 3);
}

}  // namespace
}  // namespace spar::client
