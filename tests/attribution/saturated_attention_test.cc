// Edges through attention that is all but certain, where differences of values
// and keys would cancel if they were taken as the formulas are written.
#include <algorithm>
#include <cmath>

#include "gtest/gtest.h"

#include "models/snapshot/random_snapshot.h"
#include "models/torch/aten.h"
#include "tests/attribution/graphs.h"

namespace spar::models {
namespace {

// One head, so that a target's whole attention is its pattern.
Variant OneHead() {
  Variant variant = Variants().front();
  variant.shape.norm = NormKind::kRmsNorm;
  variant.shape.num_heads = 1;
  variant.shape.num_kv_heads = 1;
  variant.shape.head_dim = 16;
  variant.shape.positions = PositionKind::kRotary;
  variant.shape.rotary = {.dim = 16, .theta = 100};
  return variant;
}

TEST(SaturatedAttention, KeepsItsSmallEdgesInSinglePrecision) {
  const Variant variant = OneHead();
  int checked = 0;
  for (const double sharpness : {4.0, 8.0, 12.0, 16.0}) {
    const auto snapshot =
        EditSnapshot(MakeRandomSnapshot(variant.shape, variant.biases, 5),
                     QkvLayout::kSeparate, [&](DecoderSpec& spec) {
                       for (LayerSpec& layer : spec.layers)
                         layer.attention_scale *= sharpness;
                     });
    const std::vector<TokenId> tokens = SomeTokens(snapshot->spec(), 8);
    const auto factors = RandomFactors(variant, snapshot->spec(), 11);
    const auto run = RunClosedForm(*snapshot, tokens, factors, {}, at::kFloat);
    const NodeTable nodes = ChooseNodes(run->trace, 3);
    const at::Tensor closed =
        ClosedFormGraph(run->trace, nodes, NormGradient::kFull).values;
    const at::Tensor truth = PlainGraph(
        RunPlainly(snapshot, tokens, factors, {}, NormGradient::kFull), nodes);
    const int layer = 0;
    const SiteNodes& target = *nodes.Find(SitePart::kO, layer);
    for (int64_t i = 0; i < target.num_scalars(); ++i) {
      const int t = target.position[i];
      const double slack =
          1 - run->trace.layers[layer].pattern[0][t].max().item().toDouble();
      if (slack < 1e-7 || slack > 1e-3) continue;
      const int64_t row = target.FirstNode(t) + i - target.begin[t];
      for (const SitePart part : {SitePart::kQ, SitePart::kK}) {
        const SiteNodes& source = *nodes.Find(part, layer);
        const auto of = [&](const at::Tensor& graph) {
          return graph[row].narrow(0, source.first_node,
                                   source.RowsBefore(nodes.tokens()));
        };
        const double largest = of(truth).abs().max().item().toDouble();
        const double error =
            (of(closed) - of(truth)).abs().max().item().toDouble();
        EXPECT_LT(error, 2e-4 * largest)
            << "1 - max A = " << slack << ", sharpness " << sharpness;
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 20);
}

}  // namespace
}  // namespace spar::models
