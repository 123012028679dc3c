#include "client/unit_map.h"

#include <gtest/gtest.h>

#include "tests/client/sample_explanation.h"

namespace spar::client {
namespace {

Style Plain() {
  Style style;
  style.unicode = true;
  return style;
}

TEST(FormatUnitMap, DrawsALineForEveryLayer) {
  const v1::Explanation explanation = SampleExplanation();
  EXPECT_EQ(FormatUnitMap(explanation.units(), 72, SampleModel(), Plain()),
            "layer  heads  neurons\n"
            "    0  ··■·   ················    0  h.0.attn#head=2\n"
            "    1  ····   ··█············█    2  h.1.mlp#neuron=5,31\n");
}

TEST(FormatUnitMap, CountsInAscii) {
  Style style = Plain();
  style.unicode = false;
  const v1::Explanation explanation = SampleExplanation();
  EXPECT_EQ(FormatUnitMap(explanation.units(), 72, SampleModel(), style),
            "layer  heads  neurons\n"
            "    0  ..#.   ................    0  h.0.attn#head=2\n"
            "    1  ....   ..1............1    2  h.1.mlp#neuron=5,31\n");
}

TEST(FormatUnitMap, LeavesOutWhatTheSchemeDoesNotCount) {
  v1::Explanation explanation;
  AddUnit(explanation, 1, "head", 0);
  EXPECT_EQ(FormatUnitMap(explanation.units(), 8, SampleModel(), Plain()),
            "layer  heads\n"
            "    0  ····\n"
            "    1  ■···   h.1.attn#head=0\n");
}

TEST(FormatUnitMap, ScalesItsBarsToTheTallest) {
  v1::Explanation explanation;
  AddUnit(explanation, 0, "neuron", 0);
  AddUnit(explanation, 1, "neuron", 0);
  AddUnit(explanation, 1, "neuron", 1);
  EXPECT_EQ(FormatUnitMap(explanation.units(), 64, SampleModel(), Plain()),
            "layer  neurons\n"
            "    0  ▄···············    1  h.0.mlp#neuron=0\n"
            "    1  █···············    2  h.1.mlp#neuron=0,1\n");
}

TEST(FormatUnitMap, SaysHowManyNamesItLeavesOut) {
  v1::Explanation explanation;
  for (int i = 0; i < 20; ++i) AddUnit(explanation, 0, "neuron", i);
  const std::string map =
      FormatUnitMap(explanation.units(), 72, SampleModel(), Plain());
  EXPECT_NE(map.find(",15 +4 more\n"), std::string::npos) << map;
}

TEST(FormatUnitMap, WrapsNamesUnderTheirColumn) {
  Style style = Plain();
  style.columns = 55;
  v1::Explanation explanation;
  AddUnit(explanation, 0, "head", 2);
  AddUnit(explanation, 0, "neuron", 7);
  const std::string map =
      FormatUnitMap(explanation.units(), 72, SampleModel(), style);
  EXPECT_NE(map.find("h.0.attn#head=2\n"
                     "                                     h.0.mlp#neuron=7\n"),
            std::string::npos)
      << map;
}

TEST(FormatUnitMap, SurvivesUnitsThatTheModelDoesNotHave) {
  v1::Explanation explanation;
  AddUnit(explanation, 3, "head", 99);
  AddUnit(explanation, 0, "neuron", -5);
  explanation.mutable_units(1)->set_layer(-2);
  EXPECT_NE(FormatUnitMap(explanation.units(), 72, SampleModel(), Plain()), "");
  EXPECT_NE(FormatUnitMap(explanation.units(), 72, v1::Model(), Plain()), "");
}

}  // namespace
}  // namespace spar::client
