#include "client/set_requests.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "tests/client/sample_explanation.h"

namespace spar::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// wte with 2 subcomponents, h.0.attn.q_proj with 3, h.1.mlp.c_fc with 4: a
// position takes the numbers 0 to 11, of which 2, 6 and 11 are Deltas.
SetParts SampleParts() {
  SetParts parts;
  parts.model = SampleModel();
  parts.decomposition.set_name("models/demo/decompositions/main");
  parts.decomposition.set_digest("cd34");
  const auto add = [&parts](const char* name, v1::AttributionPart part,
                            int layer, int count) {
    v1::DecompositionModule& module = *parts.decomposition.add_modules();
    module.set_name(name);
    module.set_part(part);
    module.set_layer(layer);
    module.set_subcomponent_count(count);
  };
  add("wte", v1::ATTRIBUTION_PART_EMBEDDING, -1, 2);
  add("h.0.attn.q_proj", v1::ATTRIBUTION_PART_Q, 0, 3);
  add("h.1.mlp.c_fc", v1::ATTRIBUTION_PART_UP, 1, 4);
  return parts;
}

SavedSet SetOfIds(UnitSpace space, std::vector<int32_t> ids) {
  SavedSet set;
  set.space = space;
  set.positions = {1, 3};
  set.ids = std::move(ids);
  return set;
}

v1::Unit Part(const std::string& module, int index, int position = -1) {
  v1::Unit unit;
  unit.set_kind("subcomponent");
  unit.set_module(module);
  unit.set_index(index);
  unit.set_layer(module.starts_with("h.1") ? 1 : 0);
  if (position >= 0) unit.set_position(position);
  return unit;
}

std::vector<std::string> Names(
    const absl::StatusOr<std::vector<v1::AttributionNodeRef>>& nodes) {
  if (!nodes.ok()) return {std::string(base::MessageOf(nodes.status()))};
  std::vector<std::string> names;
  for (const v1::AttributionNodeRef& node : *nodes) {
    names.push_back(base::Cat(v1::AttributionPart_Name(node.part()).substr(17),
                              " ", node.layer(), ":", node.index(), "@",
                              node.position()));
  }
  return names;
}

TEST(NodeRefsOf, NamesNodesByNumberWithoutDeltasAndEmbedding) {
  const SavedSet set =
      SetOfIds(UnitSpace::kNodes, {0, 2, 3, 6, 7, 11, 12 + 5, 36 + 10});
  EXPECT_THAT(Names(NodeRefsOf(set, SampleParts())),
              ElementsAre("Q 0:0@0", "UP 1:0@0", "Q 0:2@1", "UP 1:3@3"));
}

TEST(NodeRefsOf, PutsUnitsOfAllPositionsAtEachOfT) {
  SavedSet set = SetOfIds(UnitSpace::kSubcomponents, {4});
  EXPECT_THAT(Names(NodeRefsOf(set, SampleParts())),
              ElementsAre("Q 0:1@1", "Q 0:1@3"));
  *set.units.Add() = Part("h.1.mlp.c_fc", 2);
  EXPECT_THAT(Names(NodeRefsOf(set, SampleParts())),
              ElementsAre("UP 1:2@1", "UP 1:2@3"));
  set = SetOfIds(UnitSpace::kHeadsAndNeurons, {3, 36 + 4 + 31});
  EXPECT_THAT(Names(NodeRefsOf(set, SampleParts())),
              ElementsAre("HEADS 0:3@1", "HEADS 0:3@3", "NEURONS 1:31@1",
                          "NEURONS 1:31@3"));
}

TEST(NodeRefsOf, RefusesTooManyNoneAndUnknownOnes) {
  SavedSet set;
  set.space = UnitSpace::kNodes;
  for (int i = 0; i < 16'384; ++i) {
    *set.units.Add() = Part("h.1.mlp.c_fc", 0, i);
  }
  EXPECT_EQ(NodeRefsOf(set, SampleParts())->size(), 16'384u);
  *set.units.Add() = Part("h.1.mlp.c_fc", 0, 16'384);
  EXPECT_THAT(Names(NodeRefsOf(set, SampleParts())),
              ElementsAre(HasSubstr("16384")));
  EXPECT_THAT(
      Names(NodeRefsOf(SetOfIds(UnitSpace::kNodes, {0, 11}), SampleParts())),
      ElementsAre(HasSubstr("none is a node")));
  EXPECT_THAT(Names(NodeRefsOf(SetOfIds(UnitSpace::kSubcomponents, {12}),
                               SampleParts())),
              ElementsAre(HasSubstr("no unit 12")));
  EXPECT_THAT(Names(NodeRefsOf(SetOfIds(UnitSpace::kHeadsAndNeurons, {72}),
                               SampleParts())),
              ElementsAre(HasSubstr("no unit 72")));
  set.units.Clear();
  *set.units.Add() = Part("h.2.mlp.c_fc", 0, 1);
  EXPECT_THAT(Names(NodeRefsOf(set, SampleParts())),
              ElementsAre(HasSubstr("no module h.2.mlp.c_fc")));
}

TEST(UnitIdsOf, NumbersNodesOfRowsAsTheServerDoes) {
  SavedSet set;
  set.space = UnitSpace::kNodes;
  *set.units.Add() = Part("h.1.mlp.c_fc", 3, 3);
  *set.units.Add() = Part("wte", 1, 0);
  *set.units.Add() = Part("h.0.attn.q_proj", 2, 1);
  const auto ids = UnitIdsOf(set, v1::UNIT_SCHEME_NODE, SampleParts());
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_THAT(*ids, ElementsAre(1, 12 + 5, 36 + 10));
  // The numbers mean the same nodes again.
  EXPECT_EQ(Names(NodeRefsOf(SetOfIds(UnitSpace::kNodes, *ids), SampleParts())),
            (std::vector<std::string>{"Q 0:2@1", "UP 1:3@3"}));
  *set.units.Add() = Part("h.1.mlp.c_fc", 4, 0);
  EXPECT_TRUE(absl::IsNotFound(
      UnitIdsOf(set, v1::UNIT_SCHEME_NODE, SampleParts()).status()));
}

TEST(UnitIdsOf, RefusesOtherSchemes) {
  const SetParts parts = SampleParts();
  const SavedSet nodes = SetOfIds(UnitSpace::kNodes, {3, 6});
  EXPECT_TRUE(UnitIdsOf(nodes, v1::UNIT_SCHEME_NODE_AND_DELTA, parts).ok());
  for (const v1::UnitScheme scheme :
       {v1::UNIT_SCHEME_NODE, v1::UNIT_SCHEME_SUBCOMPONENT,
        v1::UNIT_SCHEME_UNSPECIFIED, v1::UNIT_SCHEME_HEAD}) {
    EXPECT_TRUE(
        absl::IsInvalidArgument(UnitIdsOf(nodes, scheme, parts).status()))
        << scheme;
  }
}

TEST(SchemeOf, IsTheSetsOwnElseTheWidest) {
  SavedSet set = SetOfIds(UnitSpace::kNodes, {3});
  EXPECT_EQ(SchemeOf(set), v1::UNIT_SCHEME_NODE_AND_DELTA);
  set.scheme = v1::UNIT_SCHEME_NODE;
  EXPECT_EQ(SchemeOf(set), v1::UNIT_SCHEME_NODE);
  EXPECT_EQ(SchemeOf(SetOfIds(UnitSpace::kHeadsAndNeurons, {3})),
            v1::UNIT_SCHEME_HEAD_AND_NEURON);
}

TEST(CheckParts, RefusesAnotherModelOrDecomposition) {
  SavedSet set = SetOfIds(UnitSpace::kNodes, {3});
  EXPECT_TRUE(CheckParts(set, SampleParts()).ok());
  set.model_digest = "ab12";
  set.decomposition_digest = "cd34";
  EXPECT_TRUE(CheckParts(set, SampleParts()).ok());
  set.decomposition_digest = "ef";
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckParts(set, SampleParts())));
  set.decomposition_digest = "";
  set.model_digest = "ef";
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckParts(set, SampleParts())));
}

}  // namespace
}  // namespace spar::client
