#include "client/module_map.h"

#include "client/explanation_text.h"
#include <gtest/gtest.h>

#include "tests/client/sample_explanation.h"

namespace spar::client {
namespace {

void AddPart(v1::Explanation& explanation,
             const std::string& module,
             const std::string& kind,
             int index,
             int position = -1) {
  v1::Unit& unit = *explanation.add_units();
  unit.set_module(module);
  unit.set_kind(kind);
  unit.set_index(index);
  if (position >= 0) unit.set_position(position);
  explanation.set_kept_unit_count(explanation.units_size());
}

v1::Explanation WithoutUnits() {
  v1::Explanation explanation = SampleExplanation();
  explanation.clear_units();
  return explanation;
}

std::string MapOf(const v1::Explanation& explanation) {
  return FormatModuleMap(explanation.units(), explanation.prompt(), Style());
}

TEST(FormatModuleMap, HasALineForEachModule) {
  v1::Explanation explanation = WithoutUnits();
  AddPart(explanation, "h.0.attn.q_proj", "subcomponent", 3);
  AddPart(explanation, "h.1.mlp.c_fc", "subcomponent", 7);
  AddPart(explanation, "h.1.mlp.c_fc", "subcomponent", 31);
  AddPart(explanation, "h.1.mlp.c_fc", "delta", 0);
  EXPECT_EQ(MapOf(explanation),
            "module            kept  subcomponents\n"
            "h.0.attn.q_proj      1  3\n"
            "h.1.mlp.c_fc         3  7,31,delta\n");
  const std::string text =
      FormatExplanation(explanation, SampleModel(), Style());
  EXPECT_NE(text.find("h.1.mlp.c_fc         3  7,31,delta\n"),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find("layer"), std::string::npos) << text;
}

TEST(FormatModuleMap, HasALineForEachPositionOfNodes) {
  v1::Explanation explanation = WithoutUnits();
  AddPart(explanation, "h.0.attn.q_proj", "subcomponent", 3, 1);
  AddPart(explanation, "h.0.attn.q_proj", "subcomponent", 4, 3);
  AddPart(explanation, "h.1.mlp.c_fc", "subcomponent", 7, 3);
  AddPart(explanation, "h.1.mlp.c_fc", "delta", 0, 3);
  EXPECT_EQ(MapOf(explanation),
            "position      kept  module:subcomponent\n"
            "1 \"capital\"      1  h.0.attn.q_proj:3\n"
            "3 \"japan\"        3  h.0.attn.q_proj:4 h.1.mlp.c_fc:7,delta\n");
}

TEST(FormatModuleMap, SaysHowManyItLeavesOut) {
  v1::Explanation explanation = WithoutUnits();
  for (int i = 0; i < 20; ++i) {
    AddPart(explanation, "h.0.mlp.c_fc", "subcomponent", i);
  }
  const std::string map = MapOf(explanation);
  EXPECT_NE(map.find("     20  0,1,"), std::string::npos) << map;
  EXPECT_NE(map.find(",15 +4 more\n"), std::string::npos) << map;
}

TEST(FormatModuleMap, SurvivesPositionsThatThePromptDoesNotHave) {
  v1::Explanation explanation = WithoutUnits();
  AddPart(explanation, "m\x1b", "subcomponent", -4, 99);
  const std::string map = MapOf(explanation);
  EXPECT_NE(map.find("99 "), std::string::npos);
  EXPECT_EQ(map.find('\x1b'), std::string::npos);
  EXPECT_EQ(MapOf(WithoutUnits()), "");
}

}  // namespace
}  // namespace spar::client
