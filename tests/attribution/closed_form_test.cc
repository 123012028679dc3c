// Every edge of the closed form against one backward pass per target in
// float64, on every architecture.
#include <algorithm>
#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "models/torch/aten.h"
#include "tests/attribution/graphs.h"

namespace spar::models {
namespace {

constexpr int kTokens = 6;

struct Case {
  Variant variant = {};
  bool decomposed = true;
};

void PrintTo(const Case& one, std::ostream* out) {
  PrintTo(one.variant, out);
}

class ClosedFormTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const Variant& variant = GetParam().variant;
    snapshot_ = SnapshotOf(variant);
    tokens_ = SomeTokens(snapshot_->spec(), kTokens);
    if (GetParam().decomposed) {
      factors_ = RandomFactors(variant, snapshot_->spec(), 11);
    }
  }

  // The worst error of both norms, relative to the largest edge of the block;
  // or to what cancels in it, if `cancelling`: the same block of the frozen
  // norm.
  void ExpectEqual(const std::vector<PlainMasks>& masks,
                   at::ScalarType dtype,
                   double tolerance,
                   bool cancelling) {
    const auto run = RunClosedForm(*snapshot_, tokens_, factors_, masks, dtype);
    const NodeTable nodes = ChooseNodes(run->trace, 3);
    at::Tensor frozen;
    for (const NormGradient norm :
         {NormGradient::kFrozen, NormGradient::kFull}) {
      const DenseGraph closed = ClosedFormGraph(run->trace, nodes, norm);
      const at::Tensor truth = PlainGraph(
          RunPlainly(snapshot_, tokens_, factors_, masks, norm), nodes);
      if (norm == NormGradient::kFrozen) frozen = truth;
      const Comparison compared = Compare(closed.values, truth, nodes,
                                          cancelling ? frozen : at::Tensor());
      EXPECT_LE(compared.worst, tolerance) << compared.where;
      EXPECT_GT(truth.abs().max().item().toDouble(), 0.1);
      // What is not listed is no path at all.
      EXPECT_EQ(
          (truth * closed.listed.logical_not()).abs().max().item().toDouble(),
          0);
    }
  }

  std::shared_ptr<const Snapshot> snapshot_;
  std::vector<TokenId> tokens_;
  std::vector<PlainFactors> factors_;
};

TEST_P(ClosedFormTest, EqualsOneBackwardPassPerTarget) {
  ExpectEqual({}, at::kDouble, 1e-10, false);
}

// Of decomposed models only.
class MaskedRunTest : public ClosedFormTest {};

TEST_P(MaskedRunTest, EqualsOneBackwardPassPerTarget) {
  ExpectEqual(RandomMasks(factors_, kTokens, 13), at::kDouble, 1e-10, false);
}

// Blocks that only turn the stream, as the embedding's into layer 0, cancel to
// rounding in this precision, whichever way they are computed.
TEST_P(ClosedFormTest, EqualsItInSinglePrecision) {
  ExpectEqual({}, at::kFloat, 1e-4, true);
}

// Nothing is listed that looks ahead or outside a sliding window, and every
// pair of positions that is connected is.
TEST_P(ClosedFormTest, ListsExactlyTheCausalPairs) {
  const auto run = RunClosedForm(*snapshot_, tokens_, factors_, {}, at::kFloat);
  const NodeTable nodes = ChooseNodes(run->trace, 3);
  const DenseGraph graph =
      ClosedFormGraph(run->trace, nodes, NormGradient::kFull);
  EXPECT_TRUE(
      std::is_sorted(graph.target_order.begin(), graph.target_order.end(),
                     [&](int32_t a, int32_t b) {
                       const auto layer = [&](int32_t node) {
                         int at = 0;
                         for (const SiteNodes& site : nodes.sites()) {
                           if (site.first_node <= node) at = site.site.layer;
                         }
                         return at < 0 ? std::numeric_limits<int>::max() : at;
                       };
                       return layer(a) < layer(b);
                     }));
  const bool* const listed = graph.listed.const_data_ptr<bool>();
  int64_t across = 0;
  for (const SiteNodes& target : nodes.sites()) {
    for (const SiteNodes& source : nodes.sites()) {
      for (int t = 0; t < kTokens; ++t) {
        for (int s = 0; s < kTokens; ++s) {
          for (int64_t i = 0; i < target.ScalarsAt(t); ++i) {
            for (int64_t j = 0; j < source.RowsAt(s); ++j) {
              const bool pair =
                  listed[(target.FirstNode(t) + i) * nodes.num_nodes() +
                         source.FirstNode(s) + j];
              if (!pair || s == t) continue;
              ++across;
              const int window =
                  snapshot_->spec().layers[target.site.layer].sliding_window;
              EXPECT_LT(s, t);
              EXPECT_TRUE(window == 0 || s > t - window);
              EXPECT_TRUE(target.site.part == SitePart::kO ||
                          target.site.part == SitePart::kHeads);
            }
          }
        }
      }
    }
  }
  EXPECT_GT(across, 0);
}

TEST_P(ClosedFormTest, KeepsBothIdentities) {
  for (const auto& masks :
       {std::vector<PlainMasks>{}, RandomMasks(factors_, kTokens, 13)}) {
    const auto run =
        RunClosedForm(*snapshot_, tokens_, factors_, masks, at::kDouble);
    const NodeTable nodes = ChooseNodes(run->trace, 3);
    for (const NormGradient norm :
         {NormGradient::kFull, NormGradient::kFrozen}) {
      const DenseGraph graph = ClosedFormGraph(run->trace, nodes, norm);
      EXPECT_GT(graph.stream.targets, 50);
      EXPECT_LT(graph.stream.relative, 1e-13);
      if (!GetParam().decomposed) continue;
      EXPECT_GT(graph.value_paths.targets, 5);
      EXPECT_LT(graph.value_paths.relative, 1e-13);
    }
  }
}

// Nodes moved by hand, all others held.
TEST_P(ClosedFormTest, EqualsCentralDifferences) {
  const auto run =
      RunClosedForm(*snapshot_, tokens_, factors_, {}, at::kDouble);
  const NodeTable nodes = ChooseNodes(run->trace, 3);
  const at::Tensor closed =
      ClosedFormGraph(run->trace, nodes, NormGradient::kFull).values;
  const PlainRun plain =
      RunPlainly(snapshot_, tokens_, factors_, {}, NormGradient::kFull);
  std::vector<at::Tensor> held;
  for (const PlainSource& source : plain.sources) {
    held.push_back(source.leaf.detach());
  }
  const auto moved = [&](size_t k, int t, int64_t i, double by) {
    std::vector<at::Tensor> others = held;
    others[k] = held[k].clone();
    others[k][t][i] *= 1 + by;
    return RunPlainly(snapshot_, tokens_, factors_, {}, NormGradient::kFull,
                      others);
  };
  constexpr double kStep = 1e-5;
  int64_t checked = 0;
  double worst = 0;
  for (size_t k = 0; k < plain.sources.size(); ++k) {
    const PlainSource& source = plain.sources[k];
    const SiteNodes& site = *nodes.Find(source.part, source.layer);
    if (source.kind != site.scalar_kind || site.num_scalars() == 0) continue;
    const int64_t scalar = static_cast<int64_t>(k * 7) % site.num_scalars();
    const int t = site.position[scalar];
    const int64_t node = site.FirstNode(t) + scalar - site.begin[t];
    const PlainRun up = moved(k, t, site.index[scalar], kStep);
    const PlainRun down = moved(k, t, site.index[scalar], -kStep);
    for (size_t m = 0; m < plain.targets.size(); ++m) {
      // A head as a target is read in a direction and with a pattern that are
      // held still, which differences cannot do.
      if (plain.targets[m].part == SitePart::kHeads) continue;
      const SiteNodes& to =
          *nodes.Find(plain.targets[m].part, plain.targets[m].layer);
      for (int64_t i = 0; i < to.num_scalars(); ++i) {
        const int u = to.position[i];
        const auto at = [&](const PlainRun& some) {
          return some.targets[m].values[u][to.index[i]].item().toDouble();
        };
        const double slope = (at(up) - at(down)) / (2 * kStep);
        const double edge =
            closed[to.FirstNode(u) + i - to.begin[u]][node].item().toDouble();
        worst = std::max(worst, std::abs(slope - edge));
        if (edge != 0) ++checked;
      }
    }
  }
  EXPECT_LT(worst, 1e-8);
  EXPECT_GT(checked, 40);
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const Variant& variant : Variants()) {
    cases.push_back({.variant = variant});
    if (!variant.decomposed_embedding && !variant.only_some_matrices) {
      cases.push_back({.variant = variant, .decomposed = false});
    }
  }
  return cases;
}

std::vector<Case> DecomposedCases() {
  std::vector<Case> cases = Cases();
  std::erase_if(cases, [](const Case& one) { return !one.decomposed; });
  return cases;
}

std::string CaseName(const testing::TestParamInfo<Case>& one) {
  return one.param.variant.name + (one.param.decomposed ? "" : "Units");
}

INSTANTIATE_TEST_SUITE_P(Models,
                         ClosedFormTest,
                         testing::ValuesIn(Cases()),
                         CaseName);
INSTANTIATE_TEST_SUITE_P(Models,
                         MaskedRunTest,
                         testing::ValuesIn(DecomposedCases()),
                         CaseName);

}  // namespace
}  // namespace spar::models
