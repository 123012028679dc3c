#include "models/torch/attribution/edge_writer.h"

#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "base/status.h"

namespace spar::models {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;

class Blocks final : public AttributionSink {
 public:
  absl::Status OnNodes(AttributionNodes) override { return absl::OkStatus(); }
  absl::Status OnEdges(EdgeBlock block) override {
    blocks.push_back(std::move(block));
    return status;
  }

  std::vector<EdgeBlock> blocks;
  absl::Status status = absl::OkStatus();
};

std::vector<AttributionNode> Nodes() {
  std::vector<AttributionNode> nodes(6);
  for (int i = 0; i < 6; ++i) {
    nodes[i].importance = 0.5f;
    nodes[i].site = i / 3;
  }
  nodes[0].kind = NodeKind::kDelta;
  return nodes;
}

// Two sites of three nodes; into node 9 of site 7.
absl::Status Write(EdgeWriter& writer,
                   const std::vector<double>& first,
                   const std::vector<double>& second) {
  const IncomingSpan spans[] = {
      {.source_site = 0, .first_source = 0, .values = first},
      {.source_site = 1, .first_source = 3, .values = second}};
  return writer.OnTarget(7, 2, spans);
}

std::vector<int32_t> Sources(const EdgeBlock& block) {
  std::vector<int32_t> sources;
  for (const AttributionEdge& edge : block.edges) {
    sources.push_back(edge.source);
  }
  return sources;
}

TEST(EdgeWriter, GathersBlocksOfTwoSites) {
  const auto nodes = Nodes();
  Blocks blocks;
  EdgeWriter writer({}, nodes, blocks);
  ASSERT_TRUE(Write(writer, {1, 0, -3}, {4, 5, 6}).ok());
  ASSERT_TRUE(Write(writer, {1, 0, -3}, {4, 5, 6}).ok());
  EXPECT_TRUE(blocks.blocks.empty());
  ASSERT_TRUE(writer.EndOfSites().ok());
  ASSERT_EQ(blocks.blocks.size(), 2);
  EXPECT_EQ(blocks.blocks[0].target_site, 7);
  EXPECT_EQ(blocks.blocks[0].source_site, 0);
  EXPECT_THAT(Sources(blocks.blocks[0]), ElementsAre(0, 1, 2, 0, 1, 2));
  EXPECT_EQ(blocks.blocks[1].source_site, 1);
  EXPECT_EQ(blocks.blocks[1].edges[2].value, 6);
  EXPECT_EQ(writer.summary().edges, 12);
  EXPECT_THAT(writer.summary().magnitude, DoubleEq(38));
}

TEST(EdgeWriter, CountsWhatIsTooSmall) {
  const auto nodes = Nodes();
  Blocks blocks;
  EdgeWriter writer({.filter = {.min_magnitude = 3}}, nodes, blocks);
  ASSERT_TRUE(Write(writer, {1, 0, -3}, {4, 2, 6}).ok());
  ASSERT_TRUE(writer.EndOfSites().ok());
  EXPECT_THAT(Sources(blocks.blocks[0]), ElementsAre(2));
  EXPECT_THAT(Sources(blocks.blocks[1]), ElementsAre(3, 5));
  EXPECT_EQ(writer.summary().edges_below, 3);
  EXPECT_THAT(writer.summary().dropped_magnitude, DoubleEq(3));
}

TEST(EdgeWriter, KeepsTheLargestOfATargetAmongAllItsSources) {
  const auto nodes = Nodes();
  Blocks blocks;
  EdgeWriter writer({.filter = {.max_per_target = 2}}, nodes, blocks);
  ASSERT_TRUE(Write(writer, {1, 0, -7}, {4, 2, 6}).ok());
  ASSERT_TRUE(writer.EndOfSites().ok());
  EXPECT_THAT(Sources(blocks.blocks[0]), ElementsAre(2));
  EXPECT_THAT(Sources(blocks.blocks[1]), ElementsAre(5));
  EXPECT_EQ(writer.summary().edges_cut, 4);
  EXPECT_THAT(writer.summary().dropped_magnitude, DoubleEq(7));
}

TEST(EdgeWriter, LeavesOutZerosOnRequest) {
  const auto nodes = Nodes();
  Blocks blocks;
  EdgeWriter writer({.filter = {.without_zeros = true}}, nodes, blocks);
  ASSERT_TRUE(Write(writer, {1, 0, -7}, {}).ok());
  ASSERT_TRUE(writer.EndOfSites().ok());
  EXPECT_THAT(Sources(blocks.blocks[0]), ElementsAre(0, 2));
}

TEST(EdgeWriter, MultipliesByTheImportanceOfSubcomponents) {
  const auto nodes = Nodes();
  Blocks blocks;
  EdgeWriter writer({.importance_factor = true}, nodes, blocks);
  ASSERT_TRUE(Write(writer, {4, 8, 0}, {}).ok());
  ASSERT_TRUE(writer.EndOfSites().ok());
  EXPECT_EQ(blocks.blocks[0].edges[0].value, 4);  // a vector
  EXPECT_EQ(blocks.blocks[0].edges[1].value, 4);
}

TEST(EdgeWriter, CutsLongBlocks) {
  const auto nodes = Nodes();
  Blocks blocks;
  EdgeWriter writer({}, nodes, blocks);
  const std::vector<double> values = {1, 2, 3};
  const IncomingSpan span{
      .source_site = 0, .first_source = 0, .values = values};
  const int64_t targets = AttributionSink::kMaxBlockEdges / 3 + 1;
  for (int64_t i = 0; i < targets; ++i) {
    ASSERT_TRUE(writer.OnTarget(1, 5, std::span(&span, 1)).ok());
  }
  ASSERT_TRUE(writer.EndOfSites().ok());
  ASSERT_EQ(blocks.blocks.size(), 2);
  EXPECT_EQ(blocks.blocks[0].edges.size(), AttributionSink::kMaxBlockEdges);
  EXPECT_EQ(writer.summary().edges, 3 * targets);
}

TEST(EdgeWriter, RefusesValuesThatAreNotFinite) {
  const auto nodes = Nodes();
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    Blocks blocks;
    EdgeWriter writer({.filter = {.max_per_target = 2}}, nodes, blocks);
    const absl::Status status = Write(writer, {1, bad, 2}, {bad, 4, 5});
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    const auto detail = base::DetailOf(status);
    ASSERT_TRUE(detail.has_value());
    EXPECT_EQ(detail->reason, "ATTRIBUTION_NOT_FINITE");
  }
}

TEST(EdgeWriter, StopsAtTheSinksError) {
  const auto nodes = Nodes();
  Blocks blocks;
  blocks.status = absl::CancelledError("enough");
  EdgeWriter writer({}, nodes, blocks);
  ASSERT_TRUE(Write(writer, {1, 2, 3}, {}).ok());
  EXPECT_EQ(writer.EndOfSites().code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace spar::models
