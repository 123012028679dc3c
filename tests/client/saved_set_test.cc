#include "client/saved_set.h"

#include <string>
#include <vector>

#include "client/json_lines.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "tests/client/sample_explanation.h"
#include "tests/client/sample_pruning.h"

namespace spar::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Pruning(int num_prompts = 1, bool certified = false) {
  std::vector<v1::PruneResponse> messages = SampleMessages(num_prompts);
  for (int i = 0; certified && i < 3; ++i) {
    messages.insert(messages.end() - 1, SampleRowExplanation(i));
  }
  std::string lines;
  for (const v1::PruneResponse& message : messages) lines += *JsonLine(message);
  return lines;
}

std::string Search(const v1::Explanation& explanation) {
  v1::CrystallizeResponse event;
  event.mutable_event()->set_sequence(1);
  v1::CrystallizeResponse end;
  *end.mutable_explanation() = explanation;
  return *JsonLine(event) + *JsonLine(end);
}

std::string Refusal(const std::string& text, const SetChoice& choice = {}) {
  const auto set = ReadSavedSet(text, choice);
  return set.ok() ? "none" : std::string(base::MessageOf(set.status()));
}

TEST(ReadSavedSet, TakesTheChosenRowOfAPruning) {
  const auto set = ReadSavedSet(Pruning(), {});
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->space, UnitSpace::kNodes);
  EXPECT_EQ(set->scheme, v1::UNIT_SCHEME_NODE_AND_DELTA);
  EXPECT_THAT(set->prompt, ElementsAre(11, 12, 13, 14));  // up to the readout
  EXPECT_EQ(set->target_id, 42);
  EXPECT_EQ(set->decomposition, "main");
  EXPECT_EQ(set->decomposition_digest, "cd34");
  EXPECT_EQ(set->model_digest, "ab12");
  ASSERT_EQ(set->units.size(), 2);
  EXPECT_EQ(set->units[0].module(), "h.1.mlp.c_fc");
  EXPECT_EQ(set->units[0].position(), 1);
  EXPECT_EQ(set->units[0].index(), 2);
  EXPECT_EQ(set->units[1].layer(), 0);
  EXPECT_TRUE(set->ids.empty());
}

TEST(ReadSavedSet, TakesTheRowAskedFor) {
  EXPECT_EQ(ReadSavedSet(Pruning(), {.row = 0})->units.size(), 4);
  const auto set = ReadSavedSet(Pruning(2), {.row = 5});
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->units[0].module(), "wte");
  EXPECT_THAT(Refusal(Pruning(), {.row = 3}), HasSubstr("row 3 among 3"));
  EXPECT_THAT(Refusal(Pruning(), {.row = -1}), HasSubstr("row -1"));
  EXPECT_THAT(Refusal(Pruning(2)), HasSubstr("--row"));
}

TEST(ReadSavedSet, TakesWhatARowWasCrystallizedTo) {
  const auto set =
      ReadSavedSet(Pruning(1, true), {.row = 1, .certified = true});
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_THAT(set->ids, ElementsAre(1, 11));
  EXPECT_EQ(set->space, UnitSpace::kNodes);
  EXPECT_EQ(set->scheme, v1::UNIT_SCHEME_NODE_AND_DELTA);
  EXPECT_EQ(set->decomposition, "main");
  EXPECT_THAT(set->positions, ElementsAre(1, 3));
  EXPECT_THAT(Refusal(Pruning(), {.certified = true}),
              HasSubstr("not asked to crystallize"));
}

TEST(ReadSavedSet, TakesTheExplanationOfASearch) {
  v1::Explanation explanation = SampleExplanation();
  explanation.mutable_certificate()->set_canonical_json(
      R"({"unit_scheme":"head+neuron"})");
  const auto set = ReadSavedSet(Search(explanation), {});
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->space, UnitSpace::kHeadsAndNeurons);
  EXPECT_EQ(set->scheme, v1::UNIT_SCHEME_HEAD_AND_NEURON);
  EXPECT_EQ(set->units.size(), explanation.units_size());
  EXPECT_THAT(set->positions, ElementsAre(1, 3, 4));
  EXPECT_EQ(set->prompt.size(), 5u);
  EXPECT_EQ(set->decomposition, "");
}

TEST(ReadSavedSet, KnowsUnitsWithoutACertificate) {
  v1::Explanation explanation = SampleExplanation();
  explanation.clear_certificate();
  explanation.clear_units();
  explanation.add_units()->set_module("m");
  EXPECT_EQ(ReadSavedSet(Search(explanation), {})->space,
            UnitSpace::kSubcomponents);
  explanation.mutable_units(0)->set_position(0);
  EXPECT_EQ(ReadSavedSet(Search(explanation), {})->space, UnitSpace::kNodes);
  explanation.clear_units();
  EXPECT_THAT(Refusal(Search(explanation)), HasSubstr("numbers alone"));
}

TEST(ReadSavedSet, RefusesWhatHoldsNoSet) {
  EXPECT_THAT(Refusal(""), HasSubstr("neither explanation nor pruning"));
  EXPECT_THAT(Refusal("hello\n"), HasSubstr("line 1"));
  EXPECT_THAT(Refusal(*JsonLine(SampleHeader()) + "{\"x\":1}\n"),
              HasSubstr("line 2"));
  EXPECT_THAT(Refusal(*JsonLine(SampleHeader())), HasSubstr("summary"));
  v1::Explanation nothing = SampleExplanation();
  nothing.set_kept_unit_count(0);
  EXPECT_THAT(Refusal(Search(nothing)), HasSubstr("no units"));
  EXPECT_THAT(Refusal(Search(SampleExplanation()), {.row = 0}),
              HasSubstr("spar prune"));
  std::vector<v1::PruneResponse> messages = SampleMessages();
  messages[2].mutable_row()->clear_nodes();
  messages[2].mutable_row()->set_node_count(300'000);
  std::string lines;
  for (const v1::PruneResponse& message : messages) lines += *JsonLine(message);
  EXPECT_THAT(Refusal(lines), HasSubstr("300000"));
}

TEST(JsonLinesOf, IsReadAgain) {
  std::vector<v1::PruneResponse> messages = SampleMessages();
  for (int i = 0; i < 3; ++i) {
    messages.insert(messages.end() - 1, SampleRowExplanation(i));
  }
  const auto lines = JsonLinesOf(*ReadAll(messages));
  ASSERT_TRUE(lines.ok());
  EXPECT_EQ(lines->find("progress"), lines->npos);
  EXPECT_EQ(ReadSavedSet(*lines, {})->units.size(), 2);
  EXPECT_EQ(ReadSavedSet(*lines, {.certified = true})->ids.size(), 2u);
}

}  // namespace
}  // namespace spar::client
