// A decomposition in which what matters is known.
//
// One layer; its down projection is six subcomponents that all read the same
// number 1 at the last position. 0 and 2 write towards the target, by 20 and
// 16; 1 writes against it, by 19; the others write nothing. Alone, 0 is
// enough. Where others may be on as well, 0 and 2 are needed, for 1 undoes
// either.
#include <algorithm>
#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "models/decomposition/decomposable_modules.h"
#include "models/snapshot/random_snapshot.h"
#include "models/torch/aten.h"
#include "models/torch/component_forward.h"
#include "tests/pruning/pruning_fixture.h"

namespace spar::models {
namespace {

using ::testing::ElementsAre;

constexpr int kComponents = 6;
constexpr TokenId kTarget = 11;
constexpr float kStrengths[kComponents] = {20, -19, 16, 0, 0, 0};
// What a set must reach to pass, in nats.
constexpr double kEnough = 1.0;

class PlantedTest : public testing::Test {
 protected:
  PlantedTest()
      : snapshot_(MakeRandomSnapshot(PrunedShape(1), /*biases=*/true, 8)),
        decoder_(LoadDecoder(*snapshot_, at::kCPU, at::kFloat)) {
    const at::Tensor embedding = decoder_.weights.unembedding;
    at::Tensor towards = embedding[kTarget] - embedding.mean(0);
    towards = towards / at::linalg_vector_norm(towards);
    const at::Tensor neurons = LastNeurons();
    const at::Tensor reads = neurons / (neurons * neurons).sum();
    ComponentModule module;
    for (const DecomposedModule& one : DecomposableModules(decoder_.spec)) {
      if (one.site == ModuleSite::kDown) module.module = one;
    }
    module.module.num_components = kComponents;
    module.v = reads.expand({kComponents, -1}).contiguous();
    module.u = at::outer(
        at::tensor(std::vector<float>(kStrengths, kStrengths + kComponents),
                   at::dtype(at::kFloat)),
        towards);
    decoder_.weights.layers[0].mlp.down = at::matmul(module.v.t(), module.u);
    decomposed_ = std::make_unique<DecomposedDecoder>(
        decoder_, std::vector<ComponentModule>{module});
    subject_.decomposed = decomposed_.get();
    subject_.logits = [](std::span<const TokenId> tokens) {
      return std::vector<at::Tensor>{
          at::zeros({static_cast<int64_t>(tokens.size()), kComponents})
              .fill_(0.6)};
    };
    request_.decomposition = "planted";
    request_.prompts = {{.tokens = tokens_, .target = kTarget}};
    request_.coefficients = {0.05};
    request_.norm = {.power = 0.5, .per_position = false};
    request_.steps = 300;
    request_.rate.rate = 0.02;
  }

  // At the last position; nothing of the down projection is in them.
  at::Tensor LastNeurons() const {
    const c10::AutoGradMode no_gradients(false);
    SequenceBatch batch(decoder_, {WholeSequence(tokens_)});
    const LayerWeights& layer = decoder_.weights.layers[0];
    const Nodes nodes = OneNodePerSequence(batch);
    const at::Tensor x = Embed(decoder_, batch);
    const at::Tensor mixed = MixValues(
        decoder_, 0, layer.attention, batch, nodes,
        Normalize(decoder_, layer.attention_norm, x), /*last_only=*/false);
    const at::Tensor stream =
        x + at::addmm(layer.o_bias, mixed, layer.attention.o);
    return Activate(decoder_, layer.mlp,
                    Normalize(decoder_, layer.mlp_norm, stream))
        .select(0, static_cast<int64_t>(tokens_.size()) - 1)
        .clone();
  }

  // Cross-entropy of the target with some subcomponents on at the last
  // position and nothing else.
  double CrossEntropy(unsigned on) const {
    const int64_t length = static_cast<int64_t>(tokens_.size());
    at::Tensor masks = at::zeros({length, kComponents}, at::dtype(at::kFloat));
    for (int c = 0; c < kComponents; ++c) {
      if (on >> c & 1) masks.select(0, length - 1).select(0, c).fill_(1);
    }
    SequenceBatch batch(decoder_, {WholeSequence(tokens_)});
    ComponentRun run;
    run.modules = MaskModules(*decomposed_,
                              {ComponentMasks{.values = masks, .delta = 0}});
    run.last_only = true;
    const at::Tensor logits =
        Logits(decoder_, ComponentForward(*decomposed_, batch, run));
    return -logits.log_softmax(1)[0][kTarget].item<double>();
  }

  // The smallest sets whose loss is low, alone, or whatever else is on.
  std::vector<unsigned> SmallestSets(bool whatever_else) const {
    const c10::AutoGradMode no_gradients(false);
    std::vector<double> loss;
    for (unsigned on = 0; on < 1u << kComponents; ++on) {
      loss.push_back(CrossEntropy(on));
    }
    std::vector<unsigned> best;
    int smallest = kComponents + 1;
    for (unsigned set = 0; set < loss.size(); ++set) {
      double worst = loss[set];
      for (unsigned on = 0; whatever_else && on < loss.size(); ++on) {
        if ((on & set) == set) worst = std::max(worst, loss[on]);
      }
      const int size = __builtin_popcount(set);
      if (worst > kEnough || size > smallest) continue;
      if (size < smallest) best.clear();
      smallest = size;
      best.push_back(set);
    }
    return best;
  }

  // What is left of the six at the last position; nothing may be left
  // elsewhere.
  unsigned Pruned() {
    const auto pruning = MakeTorchPruning(subject_, request_, {});
    const std::vector<PrunedRow> rows = RunPruning(*pruning);
    row_ = rows.at(0);
    unsigned set = 0;
    for (const PrunedNode& node : row_.nodes) {
      EXPECT_EQ(node.position, static_cast<int32_t>(tokens_.size()) - 1);
      set |= 1u << node.component;
    }
    return set;
  }

  const std::vector<TokenId> tokens_ = {4, 17, 2, 9};
  const std::shared_ptr<const Snapshot> snapshot_;
  Decoder decoder_;
  std::unique_ptr<DecomposedDecoder> decomposed_;
  PruneSubject subject_ = {};
  PruneRequest request_ = {};
  PrunedRow row_ = {};
};

TEST_F(PlantedTest, MaskedByImportanceOneIsEnough) {
  const std::vector<unsigned> best = SmallestSets(/*whatever_else=*/false);
  ASSERT_THAT(best, ElementsAre(0b001u, 0b100u));
  request_.masks = PruneMasks::kCausalImportance;
  EXPECT_THAT(best, testing::Contains(Pruned()));
  EXPECT_LT(row_.rounded.cross_entropy, kEnough);
  EXPECT_EQ(row_.num_parameters, 24);
}

TEST_F(PlantedTest, UnderAnAttackBothAreNeeded) {
  const std::vector<unsigned> best = SmallestSets(/*whatever_else=*/true);
  ASSERT_THAT(best, ElementsAre(0b101u));
  request_.adversary = {.steps = 5, .step_size = 0.5};
  EXPECT_EQ(Pruned(), best[0]);
  ASSERT_TRUE(row_.attacked.has_value());
  EXPECT_LT(row_.attacked->cross_entropy, kEnough);
  EXPECT_LT(row_.rounded.cross_entropy, kEnough);
}

// Random masks leave the useless out as well; they do not say how many are
// needed at worst.
TEST_F(PlantedTest, StochasticMasksKeepNothingUseless) {
  const unsigned set = Pruned();
  EXPECT_NE(set, 0u);
  EXPECT_EQ(set & ~0b101u, 0u);
  EXPECT_LT(row_.rounded.cross_entropy, kEnough);
}

TEST_F(PlantedTest, APriceTooHighLeavesNothingAndNoneKeepsWhatHelps) {
  request_.masks = PruneMasks::kCausalImportance;
  request_.coefficients = {0, 50};
  const auto pruning = MakeTorchPruning(subject_, request_, {});
  const std::vector<PrunedRow> rows = RunPruning(*pruning);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_GE(rows[0].nodes.size(), 2u);
  EXPECT_TRUE(rows[1].nodes.empty());
  EXPECT_LT(rows[0].masked.cross_entropy, rows[1].masked.cross_entropy);
}

}  // namespace
}  // namespace spar::models
