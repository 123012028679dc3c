#include "models/unit_table.h"

#include "gtest/gtest.h"

#include "base/status.h"

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
