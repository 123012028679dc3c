#include "client/explanation_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/client/sample_explanation.h"

namespace spar::client {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(FormatPrompt, PutsBracketsAroundKeptPositionsWithoutColour) {
  EXPECT_EQ(FormatPrompt(SampleExplanation(), 0, Style()),
            "the [capital] of [japan] [is] → tokyo");
}

TEST(FormatPrompt, LightsKeptPositionsInColour) {
  Style style;
  style.color = true;
  EXPECT_EQ(FormatPrompt(SampleExplanation(), 0, style),
            "\x1b[2mthe\x1b[0m \x1b[1;36mcapital\x1b[0m \x1b[2mof\x1b[0m "
            "\x1b[1;36mjapan\x1b[0m \x1b[1;36mis\x1b[0m "
            "\x1b[1;35m→ tokyo\x1b[0m");
}

TEST(FormatPrompt, UsesTheSpacesOfTokensThatHaveThem) {
  v1::Explanation explanation;
  for (const char* const token : {"The", " cap", "ital", " ", "\n"}) {
    explanation.add_prompt()->set_text(token);
  }
  explanation.mutable_target()->set_text(" is");
  for (const int index : {2, 3, 4}) AddPosition(explanation, index);
  EXPECT_EQ(FormatPrompt(explanation, 0, Style()),
            "The cap[ital][␣][\\n] → is");
}

TEST(FormatPrompt, WrapsByColumnsNotByEscapes) {
  Style style;
  style.color = true;
  style.columns = 20;
  const std::string text = FormatPrompt(SampleExplanation(), 4, style);
  EXPECT_THAT(text, HasSubstr("\n    \x1b[1;36mjapan"));
}

TEST(FormatPrompt, LetsNoTokenReachTheTerminal) {
  v1::Explanation explanation;
  explanation.add_prompt()->set_text("\x1b]0;owned\x07");
  explanation.mutable_target()->set_text("\x1b[2J");
  const std::string text = FormatPrompt(explanation, 0, Style());
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, HasSubstr("\\x1b[2J"));
}

TEST(FormatExplanation, SaysEverythingOfACrystallizedToken) {
  EXPECT_EQ(
      FormatExplanation(SampleExplanation(), SampleModel(), Style()),
      "\n"
      "prompt     the [capital] of [japan] [is] → tokyo\n"
      "verdict    CRYSTALLIZED  3 of 72 units, from 3 of 5 positions, still "
      "say \"tokyo\"\n"
      "\n"
      "layer  heads  neurons\n"
      "    0  ··■·   ················    0  h.0.attn#head=2\n"
      "    1  ····   ··█············█    2  h.1.mlp#neuron=5,31\n"
      "\n"
      "units      3 of 72, holding 1.2 % of the parameters\n"
      "positions  1 \"capital\", 3 \"japan\", 4 \"is\"\n"
      "margin     full +4.000   no units -1.250   kept +2.500   needed "
      "+2.000\n"
      "precision  93 %  [90 %, 96 %] of 256 prompts that agree on T\n"
      "contrast   could not be estimated\n"
      "remark     Sufficient and telling.\n"
      "effort     1,204 rows, 32 gradients, 17 batches, 0.41 s\n");
}

TEST(FormatExplanation, ColoursTheVerdictByWhetherItTells) {
  Style style;
  style.color = true;
  v1::Explanation explanation = SampleExplanation();
  EXPECT_THAT(FormatExplanation(explanation, SampleModel(), style),
              HasSubstr("\x1b[1;32mCRYSTALLIZED"));
  explanation.set_telling(false);
  EXPECT_THAT(FormatExplanation(explanation, SampleModel(), style),
              HasSubstr("\x1b[1;33mCRYSTALLIZED"));
}

TEST(FormatExplanation, SaysWhereABudgetEnded) {
  v1::Explanation explanation;
  explanation.set_verdict(v1::VERDICT_BUDGET_EXHAUSTED);
  explanation.set_last_phase(v1::PHASE_POSITIONS_GIVEN_UNITS);
  EXPECT_THAT(FormatExplanation(explanation, SampleModel(), Style()),
              HasSubstr("BUDGET EXHAUSTED  the budget ended in the phase "
                        "positions given units; nothing is verified\n"));
}

TEST(FormatExplanation, ShowsTheCurveOfADistributedToken) {
  v1::Explanation explanation = SampleExplanation();
  explanation.set_verdict(v1::VERDICT_DISTRIBUTED);
  v1::MarginPoint& point = *explanation.add_margin_curve();
  point.set_kept_share(0.25);
  point.set_margin(-0.5);
  EXPECT_THAT(FormatExplanation(explanation, SampleModel(), Style()),
              HasSubstr("kept share 25 %: -0.500;\n"));
}

TEST(FormatExplanation, NamesTheAttackThatASetHoldsAgainst) {
  v1::Explanation explanation = SampleExplanation();
  explanation.set_complement_margin(-0.25);
  v1::Robustness& robustness = *explanation.mutable_robustness();
  robustness.set_step_count(5);
  robustness.set_step_size(0.1);
  robustness.set_restart_count(4);
  robustness.set_holds(true);
  robustness.set_plain_unit_count(2);
  for (const int steps : {0, 5}) {
    v1::AttackPoint& point = *robustness.add_curve();
    point.set_step_count(steps);
    point.set_worst_margin(1.5 - 0.1 * steps);
    v1::AttackPoint& plain = *robustness.add_plain_curve();
    plain.set_step_count(steps);
    plain.set_worst_margin(0.5 - steps);
  }
  const std::string text =
      FormatExplanation(explanation, SampleModel(), Style());
  EXPECT_THAT(text, HasSubstr("without    all units but these, on the whole "
                              "prompt, do not say it: -0.250\n"));
  EXPECT_THAT(text,
              HasSubstr("attack     holds against this attack: 5 steps of 0.1 "
                        "from 4 starts; worst margin after so many steps 0: "
                        "+1.500, 5: +1.000. The plain set of 2 units: 0: "
                        "+0.500, 5: -4.500\n"));
  robustness.set_holds(false);
  robustness.clear_curve();
  EXPECT_THAT(FormatExplanation(explanation, SampleModel(), Style()),
              HasSubstr("no set that holds against this attack was found: 5 "
                        "steps of 0.1"));
}

TEST(FormatExplanation, SurvivesAnEmptyMessage) {
  EXPECT_NE(FormatExplanation(v1::Explanation(), v1::Model(), Style()), "");
}

TEST(PhaseName, ReadsLikeWords) {
  EXPECT_EQ(PhaseName(v1::PHASE_POSITIONS_GIVEN_UNITS),
            "positions given units");
  EXPECT_EQ(VerdictName(v1::VERDICT_BUDGET_EXHAUSTED), "BUDGET EXHAUSTED");
}

}  // namespace
}  // namespace spar::client
