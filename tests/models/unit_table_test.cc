#include "models/unit_table.h"

#include "gtest/gtest.h"

#include "base/status.h"
#include "models/decomposition_spec.h"

namespace spar::models {
namespace {

UnitTable TwoLayers() {
  return UnitTable({{.num_heads = 2,
                     .num_neurons = 3,
                     .attention_module = "h.0.attn",
                     .mlp_module = "h.0.mlp",
                     .parameters_per_head = 40,
                     .parameters_per_neuron = 8},
                    {.num_heads = 2,
                     .num_neurons = 3,
                     .attention_module = "h.1.attn",
                     .mlp_module = "h.1.mlp",
                     .parameters_per_head = 41,
                     .parameters_per_neuron = 9}});
}

UnitTable TwoModules(int num_positions = 0) {
  DecompositionSpec spec;
  spec.modules = {
      {.name = "wte", .layer = -1, .d_in = 9, .d_out = 4, .num_components = 2},
      {.name = "h.0.mlp.c_fc",
       .layer = 0,
       .d_in = 4,
       .d_out = 6,
       .num_components = 3,
       .first_component = 2}};
  const UnitSpace space =
      num_positions > 0 ? UnitSpace::kNodes : UnitSpace::kSubcomponents;
  EXPECT_EQ(CountUnits(spec, space, num_positions),
            MakeUnitTable(spec, space, num_positions).size());
  return MakeUnitTable(spec, space, num_positions);
}

TEST(UnitTable, NumbersLayerByLayerHeadsFirst) {
  const UnitTable table = TwoLayers();
  EXPECT_EQ(table.size(), 10);
  EXPECT_EQ(table.Name(0), "h.0.attn#head=0");
  EXPECT_EQ(table.Name(4), "h.0.mlp#neuron=2");
  EXPECT_EQ(table.Name(6), "h.1.attn#head=1");
  EXPECT_EQ(table.Name(9), "h.1.mlp#neuron=2");
  EXPECT_EQ(table.Parameters(6), 41);
  EXPECT_EQ(table.Parameters(9), 9);
}

TEST(UnitTable, EveryIdSurvivesTheWayThroughUnitAndName) {
  const UnitTable table = TwoLayers();
  for (UnitId id = 0; id < table.size(); ++id) {
    EXPECT_EQ(table.Id(table.At(id)), id);
    EXPECT_EQ(*table.Parse(table.Name(id)), id);
  }
}

TEST(UnitTable, SchemesAreSubsetsOfOneNumbering) {
  const UnitTable table = TwoLayers();
  EXPECT_EQ(table.Members(UnitScheme::kHead),
            (std::vector<UnitId>{0, 1, 5, 6}));
  EXPECT_EQ(table.Members(UnitScheme::kNeuron),
            (std::vector<UnitId>{2, 3, 4, 7, 8, 9}));
  EXPECT_EQ(table.Members(UnitScheme::kHeadAndNeuron).size(), 10u);
  for (const UnitScheme scheme :
       {UnitScheme::kHead, UnitScheme::kNeuron, UnitScheme::kHeadAndNeuron}) {
    EXPECT_EQ(table.CountMembers(scheme),
              static_cast<int>(table.Members(scheme).size()));
  }
}

TEST(UnitTable, NumbersSubcomponentsThenDeltaModuleByModule) {
  const UnitTable table = TwoModules();
  EXPECT_EQ(table.space(), UnitSpace::kSubcomponents);
  EXPECT_EQ(table.size(), 7);
  EXPECT_EQ(table.Name(1), "wte#subcomponent=1");
  EXPECT_EQ(table.Name(2), "wte#delta");
  EXPECT_EQ(table.Name(3), "h.0.mlp.c_fc#subcomponent=0");
  EXPECT_EQ(table.Name(6), "h.0.mlp.c_fc#delta");
  EXPECT_EQ(table.At(0).layer, -1);
  EXPECT_EQ(table.Parameters(0), 13);
  EXPECT_EQ(table.Parameters(6), 24);
  EXPECT_EQ(table.Members(UnitScheme::kSubcomponent),
            (std::vector<UnitId>{0, 1, 3, 4, 5}));
  EXPECT_EQ(table.Members(UnitScheme::kSubcomponentAndDelta).size(), 7u);
  EXPECT_EQ(table.CountMembers(UnitScheme::kSubcomponent), 5);
  EXPECT_TRUE(table.Members(UnitScheme::kNode).empty());
  EXPECT_EQ(table.CountMembers(UnitScheme::kHead), 0);
}

TEST(UnitTable, NumbersNodesPositionByPosition) {
  const UnitTable table = TwoModules(3);
  EXPECT_EQ(table.space(), UnitSpace::kNodes);
  EXPECT_EQ(table.size(), 21);
  EXPECT_EQ(table.per_position(), 7);
  EXPECT_EQ(table.Name(7), "wte#subcomponent=0@1");
  EXPECT_EQ(table.Name(20), "h.0.mlp.c_fc#delta@2");
  EXPECT_EQ(table.CountMembers(UnitScheme::kNode), 15);
  EXPECT_EQ(table.CountMembers(UnitScheme::kNodeAndDelta), 21);
  for (UnitId id = 0; id < table.size(); ++id) {
    EXPECT_EQ(table.Id(table.At(id)), id);
    EXPECT_EQ(*table.Parse(table.Name(id)), id);
  }
  for (const char* name :
       {"wte#subcomponent=0", "wte#subcomponent=0@3", "wte#subcomponent=2@0",
        "wte#delta@-1", "wte#delta=1@0", "wte#head=0@0", "wpe#delta@0"}) {
    EXPECT_FALSE(table.Parse(name).ok()) << name;
  }
}

TEST(UnitTable, RefusesNamesOfNoUnit) {
  const UnitTable table = TwoLayers();
  for (const char* name :
       {"", "h.0.attn", "h.0.attn#head=2", "h.0.attn#head=-1",
        "h.0.attn#head=01", "h.0.attn#head=1x", "h.0.attn#neuron=1",
        "h.2.mlp#neuron=0", "=#", "h.0.mlp#neuron=99999999999999"}) {
    const auto id = table.Parse(name);
    ASSERT_FALSE(id.ok()) << name;
    EXPECT_EQ(base::DetailOf(id.status())->reason, "UNKNOWN_UNIT");
  }
}

TEST(UnitScheme, NamesSurviveTheWayBack) {
  for (const UnitScheme scheme :
       {UnitScheme::kHead, UnitScheme::kNeuron, UnitScheme::kHeadAndNeuron}) {
    EXPECT_EQ(*ParseUnitScheme(UnitSchemeName(scheme)), scheme);
  }
  EXPECT_FALSE(ParseUnitScheme("scalar").ok());
}

}  // namespace
}  // namespace spar::models
