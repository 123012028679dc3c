// Whole questions: which nodes, which run, what is filtered and refused.
#include "models/torch/attribution/attribute.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include <ATen/ops/ones_like.h>

#include "base/status.h"
#include "models/torch/aten.h"
#include "tests/attribution/graphs.h"

namespace spar::models {
namespace {

class Kept final : public AttributionSink {
 public:
  absl::Status OnNodes(AttributionNodes all) override {
    EXPECT_TRUE(nodes.nodes.empty());
    nodes = std::move(all);
    return absl::OkStatus();
  }
  absl::Status OnEdges(EdgeBlock block) override {
    for (const AttributionEdge& edge : block.edges) {
      EXPECT_EQ(nodes.nodes[edge.target].site, block.target_site);
      EXPECT_EQ(nodes.nodes[edge.source].site, block.source_site);
      EXPECT_TRUE(edges.emplace(std::pair(edge.target, edge.source), edge.value)
                      .second);
    }
    return absl::OkStatus();
  }

  int Count(NodeKind kind) const {
    return static_cast<int>(
        std::count_if(nodes.nodes.begin(), nodes.nodes.end(),
                      [&](const auto& node) { return node.kind == kind; }));
  }

  AttributionNodes nodes;
  std::map<std::pair<int32_t, int32_t>, float> edges;
};

class AttributeTest : public testing::Test {
 protected:
  void Open(const std::string& name, bool decomposed) {
    const std::vector<Variant> all = Variants();
    const auto found =
        std::find_if(all.begin(), all.end(),
                     [&](const Variant& one) { return one.name == name; });
    snapshot_ = SnapshotOf(*found);
    decoder_ = LoadDecoder(*snapshot_, at::kCPU, at::kFloat);
    request_.tokens = SomeTokens(decoder_.spec, 5);
    model_ = {.decoder = &decoder_, .max_bytes = int64_t{1} << 30};
    if (!decomposed) return;
    plain_ = RandomFactors(*found, decoder_.spec, 11);
    const auto masks = RandomMasks(plain_, 5, 3);
    for (size_t i = 0; i < plain_.size(); ++i) {
      factors_.push_back({.part = plain_[i].part,
                          .layer = plain_[i].layer,
                          .v = plain_[i].v.to(at::kFloat),
                          .u = plain_[i].u.to(at::kFloat)});
      importances_.push_back(
          (masks[i].components - 0.3).clamp(0, 1).to(at::kFloat));
    }
    model_.factors = factors_;
    model_.importances = importances_;
  }

  AttributionSummary Run(Kept& kept) {
    const auto summary = Attribute(request_, model_, kept);
    EXPECT_TRUE(summary.ok()) << summary.status();
    return summary.ok() ? *summary : AttributionSummary();
  }

  std::string Refusal() {
    Kept kept;
    const absl::Status status = Attribute(request_, model_, kept).status();
    const auto detail = base::DetailOf(status);
    return detail.has_value() ? detail->reason + " " + detail->field : "none";
  }

  std::shared_ptr<const Snapshot> snapshot_;
  Decoder decoder_;
  std::vector<PlainFactors> plain_;
  std::vector<ModuleFactors> factors_;
  std::vector<at::Tensor> importances_;
  AttributionModel model_;
  AttributionRequest request_;
};

TEST_F(AttributeTest, ListsTheSubcomponentsThatMatter) {
  Open("Llama", true);
  request_.rule.min_importance = 0.2;
  Kept kept;
  const AttributionSummary summary = Run(kept);
  int64_t alive = 0;
  for (const at::Tensor& values : importances_) {
    alive += (values > 0.2f).sum().item().toLong();
  }
  EXPECT_EQ(kept.Count(NodeKind::kSubcomponent), alive);
  EXPECT_EQ(kept.Count(NodeKind::kEmbedding), 5);
  EXPECT_EQ(kept.Count(NodeKind::kDelta), 5 * 7 * 3);
  EXPECT_EQ(kept.Count(NodeKind::kBias), 0);
  for (const AttributionNode& node : kept.nodes.nodes) {
    if (node.kind != NodeKind::kSubcomponent) continue;
    EXPECT_GT(node.importance, 0.2f);
    EXPECT_LE(node.importance, 1);
  }
  EXPECT_EQ(summary.edges, static_cast<int64_t>(kept.edges.size()));
  EXPECT_EQ(summary.edges_below + summary.edges_cut, 0);
  EXPECT_GT(summary.edges, 1000);
  EXPECT_LT(summary.stream.relative, 1e-5);
  EXPECT_LT(summary.values.relative, 1e-5);
  EXPECT_GT(summary.stream.targets, 0);
  EXPECT_GT(summary.values.targets, 0);
}

TEST_F(AttributeTest, LimitsSubcomponentsToTheMostImportant) {
  Open("Llama", true);
  request_.rule.max_subcomponents = 1;
  Kept kept;
  Run(kept);
  std::set<std::pair<int32_t, int32_t>> seen;
  for (const AttributionNode& node : kept.nodes.nodes) {
    if (node.kind != NodeKind::kSubcomponent) continue;
    EXPECT_TRUE(seen.insert({node.site, node.position}).second);
    const AttributionSite& site = kept.nodes.sites[node.site];
    for (size_t i = 0; i < factors_.size(); ++i) {
      if (factors_[i].part != site.part || factors_[i].layer != site.layer) {
        continue;
      }
      EXPECT_EQ(node.importance,
                importances_[i][node.position].max().item().toFloat());
    }
  }
  EXPECT_GT(seen.size(), 50);
}

// The values of listed nodes against one backward pass each.
TEST_F(AttributeTest, AttributesTheNodesThatAreNamed) {
  Open("Gpt2", true);
  request_.nodes = {{SitePart::kUp, 1, 3, 2},
                    {SitePart::kDown, 1, 3, 0},
                    {SitePart::kO, 0, 3, 1}};
  request_.logits = {{4, 7}, {3, 2}};
  Kept kept;
  Run(kept);
  EXPECT_EQ(kept.Count(NodeKind::kSubcomponent), 3);
  EXPECT_EQ(kept.Count(NodeKind::kLogit), 2);
  const PlainRun plain =
      RunPlainly(snapshot_, request_.tokens, plain_, {}, NormGradient::kFull);
  const auto find = [&](NodeKind kind, SitePart part, int layer, int index) {
    for (size_t i = 0; i < kept.nodes.nodes.size(); ++i) {
      const AttributionNode& node = kept.nodes.nodes[i];
      const AttributionSite& site = kept.nodes.sites[node.site];
      if (node.kind == kind && site.part == part && site.layer == layer &&
          node.position == 3 && node.index == index) {
        return static_cast<int32_t>(i);
      }
    }
    return -1;
  };
  const int32_t up = find(NodeKind::kSubcomponent, SitePart::kUp, 1, 2);
  const int32_t down = find(NodeKind::kSubcomponent, SitePart::kDown, 1, 0);
  const int32_t o = find(NodeKind::kSubcomponent, SitePart::kO, 0, 1);
  const int32_t logit = find(NodeKind::kLogit, SitePart::kLogits, -1, 2);
  ASSERT_GE(std::min({up, down, o, logit}), 0);
  const auto truth = [&](const at::Tensor& target, SitePart part, int layer,
                         int index) {
    const std::vector<at::Tensor> edges = PlainEdges(plain, target);
    for (size_t i = 0; i < edges.size(); ++i) {
      const PlainSource& source = plain.sources[i];
      if (source.part == part && source.layer == layer &&
          source.kind == NodeKind::kSubcomponent) {
        return edges[i][3][index].item().toDouble();
      }
    }
    return std::nan("");
  };
  const auto values_of = [&](SitePart part, int layer) {
    for (const PlainTarget& target : plain.targets) {
      if (target.part == part && target.layer == layer) return target.values;
    }
    return at::Tensor();
  };
  const auto near = [&](std::pair<int32_t, int32_t> edge, double want) {
    ASSERT_TRUE(kept.edges.contains(edge));
    EXPECT_NEAR(kept.edges[edge], want, 1e-5 * std::abs(want) + 1e-7);
    EXPECT_NE(want, 0);
  };
  near({down, up},
       truth(values_of(SitePart::kDown, 1)[3][0], SitePart::kUp, 1, 2));
  near({up, o}, truth(values_of(SitePart::kUp, 1)[3][2], SitePart::kO, 0, 1));
  near({logit, down}, truth(plain.logits[3][2], SitePart::kDown, 1, 0));
  EXPECT_NEAR(kept.nodes.nodes[up].activation,
              values_of(SitePart::kUp, 1)[3][2].item().toDouble(), 1e-5);
  EXPECT_NEAR(kept.nodes.nodes[logit].activation,
              plain.logits[3][2].item().toDouble(), 1e-5);
  EXPECT_NEAR(kept.nodes.nodes[logit].importance,
              plain.logits[3].softmax(0)[2].item().toDouble(), 1e-6);
}

TEST_F(AttributeTest, MultipliesBySourceImportancesOnRequest) {
  Open("Llama", true);
  Kept without, with;
  Run(without);
  request_.importance_factor = true;
  Run(with);
  for (const auto& [edge, value] : without.edges) {
    const AttributionNode& source = without.nodes.nodes[edge.second];
    const float factor =
        source.kind == NodeKind::kSubcomponent ? source.importance : 1.0f;
    EXPECT_NEAR(with.edges[edge], value * factor, 1e-6 * std::abs(value));
  }
}

// A run whose masks keep everything is the model's own.
TEST_F(AttributeTest, AttributesMaskedRuns) {
  Open("Gpt2", true);
  Kept target;
  for (at::Tensor& values : importances_) values = at::ones_like(values);
  Run(target);
  Kept masked;
  request_.run = AttributedRun::kImportance;
  Run(masked);
  ASSERT_EQ(masked.edges.size(), target.edges.size());
  for (const auto& [edge, value] : target.edges) {
    EXPECT_NEAR(masked.edges[edge], value, 1e-4);
  }
  Kept listed;
  request_.run = AttributedRun::kListed;
  request_.delta_mask = 0;
  request_.nodes = {{SitePart::kDown, 2, 4, 1}};
  request_.logits = {{4, 0}};
  Run(listed);
  // Only the embedding, the biases and one subcomponent write anything.
  double moved = 0;
  for (const auto& [edge, value] : listed.edges) {
    const NodeKind kind = listed.nodes.nodes[edge.second].kind;
    if (kind == NodeKind::kDelta) {
      EXPECT_EQ(value, 0);
    }
    if (kind == NodeKind::kSubcomponent) moved += std::abs(value);
  }
  EXPECT_GT(moved, 0);
}

TEST_F(AttributeTest, AttributesHeadsAndNeuronsWithoutADecomposition) {
  Open("Gpt2", false);
  request_.rule.max_neurons = 3;
  Kept kept;
  const AttributionSummary summary = Run(kept);
  EXPECT_EQ(kept.Count(NodeKind::kHead), 5 * 4 * 3);
  EXPECT_EQ(kept.Count(NodeKind::kNeuron), 5 * 3 * 3);
  EXPECT_EQ(kept.Count(NodeKind::kBias), 5 * 2 * 3);
  EXPECT_GT(kept.Count(NodeKind::kLogit), 0);
  EXPECT_LT(summary.stream.relative, 1e-5);
  std::set<std::string> names;
  for (const AttributionSite& site : kept.nodes.sites) names.insert(site.name);
  EXPECT_TRUE(names.contains("layers.1.attn"));
  EXPECT_TRUE(names.contains("layers.1.mlp"));
}

// With a frozen norm, what flows into a logit is the logit without its norm's
// bias: direct logit attribution.
TEST_F(AttributeTest, AddsUpToTheLogitWhenAllNodesAreListed) {
  Open("Llama", false);
  request_.rule.max_neurons = decoder_.spec.mlp_width;
  request_.norm = NormGradient::kFrozen;
  request_.logits = {{4, 1}, {4, 2}};
  Kept kept;
  Run(kept);
  std::map<int32_t, double> sums;
  for (const auto& [edge, value] : kept.edges) sums[edge.first] += value;
  int checked = 0;
  for (size_t i = 0; i < kept.nodes.nodes.size(); ++i) {
    const AttributionNode& node = kept.nodes.nodes[i];
    if (node.kind != NodeKind::kLogit) continue;
    EXPECT_NEAR(sums[static_cast<int32_t>(i)], node.activation, 1e-5);
    ++checked;
  }
  EXPECT_EQ(checked, 2);
}

TEST_F(AttributeTest, TakesProbableLogits) {
  Open("Llama", true);
  request_.logit_rule = {
      .positions = {1, 4}, .min_probability = 0.02, .max_per_position = 3};
  Kept kept;
  Run(kept);
  std::map<int32_t, int> count;
  for (const AttributionNode& node : kept.nodes.nodes) {
    if (node.kind != NodeKind::kLogit) continue;
    EXPECT_GT(node.importance, 0.02f);
    ++count[node.position];
  }
  EXPECT_THAT(count,
              testing::ElementsAre(testing::Pair(1, 3), testing::Pair(4, 3)));
}

TEST_F(AttributeTest, RefusesWhatDoesNotFitTheModel) {
  Open("Llama", true);
  const AttributionRequest good = request_;
  const auto with = [&](const auto& change) {
    request_ = good;
    change(request_);
    return Refusal();
  };
  EXPECT_EQ(with([](auto&) {}), "none");
  EXPECT_EQ(with([](auto& r) {
              r.nodes = {{SitePart::kQ, 0, 0, 4}};
            }),
            "UNKNOWN_NODE nodes[0]");
  EXPECT_EQ(with([](auto& r) {
              r.nodes = {{SitePart::kQ, 0, 0, -1}};
            }),
            "UNKNOWN_NODE nodes[0]");
  EXPECT_EQ(with([](auto& r) {
              r.nodes = {{SitePart::kQ, 3, 0, 0}};
            }),
            "UNKNOWN_NODE nodes[0]");
  EXPECT_EQ(with([](auto& r) {
              r.nodes = {{SitePart::kHeads, 0, 0, 0}};
            }),
            "UNKNOWN_NODE nodes[0]");
  EXPECT_EQ(with([](auto& r) {
              r.nodes = {{SitePart::kQ, 0, 5, 0}};
            }),
            "POSITION_OUT_OF_RANGE nodes[0].position");
  EXPECT_EQ(with([](auto& r) {
              r.nodes = {{SitePart::kQ, 0, 1, 0}, {SitePart::kQ, 0, 1, 0}};
            }),
            "DUPLICATE_NODE nodes[1]");
  EXPECT_EQ(with([](auto& r) {
              r.logits = {{0, 30}};
            }),
            "TOKEN_OUT_OF_RANGE logits[0].token");
  EXPECT_EQ(with([](auto& r) {
              r.logits = {{-1, 3}};
            }),
            "POSITION_OUT_OF_RANGE logits[0].position");
  EXPECT_EQ(with([](auto& r) {
              r.logit_rule.positions = {2, 2};
            }),
            "BAD_ATTRIBUTION_OPTION logit_rule.positions[1]");
  EXPECT_EQ(with([](auto& r) { r.delta_mask = std::nan(""); }),
            "BAD_ATTRIBUTION_OPTION delta_mask");
  EXPECT_EQ(with([](auto& r) { r.filter.min_magnitude = std::nan(""); }),
            "BAD_ATTRIBUTION_OPTION filter.min_magnitude");
  EXPECT_EQ(with([](auto& r) { r.filter.max_per_target = -1; }),
            "BAD_ATTRIBUTION_OPTION filter.max_per_target");
  EXPECT_EQ(with([](auto& r) { r.rule.max_neurons = 0; }),
            "BAD_ATTRIBUTION_OPTION rule.max_neurons");
  request_ = good;
  model_.max_bytes = 1000;
  EXPECT_EQ(Refusal(), "ATTRIBUTION_TOO_LARGE ");
}

TEST_F(AttributeTest, RefusesMaskedRunsWithoutADecomposition) {
  Open("Gpt2", false);
  request_.run = AttributedRun::kListed;
  EXPECT_EQ(Refusal(), "BAD_ATTRIBUTION_OPTION run");
}

}  // namespace
}  // namespace spar::models
