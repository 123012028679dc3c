// Gradients by hand against autograd through the dense masked forward.
#include "models/torch/margin_gradient.h"

#include <limits>
#include <memory>
#include <vector>

#include "gtest/gtest.h"

#include "models/torch/aten.h"
#include "models/torch/masked_forward.h"
#include "tests/conformance/models.h"

namespace spar::models {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

class MarginGradientTest : public testing::TestWithParam<NamedModel> {
 protected:
  MarginGradientTest()
      : snapshot_(MakeRandomSnapshot(GetParam().shape, GetParam().biases, 3)),
        decoder_(LoadDecoder(*snapshot_, at::kCPU, at::kFloat)) {}

  int64_t NumUnits() const {
    return int64_t{decoder_.spec.num_layers} *
           (decoder_.spec.num_heads + decoder_.spec.mlp_width);
  }

  // Sequences of these lengths, in order, with gaps between their ids.
  std::vector<Sequence> Sequences(const std::vector<int>& lengths) const {
    std::vector<Sequence> sequences;
    for (size_t i = 0; i < lengths.size(); ++i) {
      Sequence sequence;
      for (int t = 0; t < lengths[i]; ++t) {
        sequence.tokens.push_back(static_cast<TokenId>(
            (7 * i + 11 * t * t) % decoder_.spec.vocab_size));
        sequence.ids.push_back(2 * t + static_cast<int>(i % 2));
      }
      sequences.push_back(std::move(sequence));
    }
    return sequences;
  }

  ReferenceValues RandomReference() const {
    ReferenceValues reference{.last_row = 4};
    const int64_t width =
        int64_t{decoder_.spec.num_heads} * decoder_.spec.head_dim;
    for (int i = 0; i < decoder_.spec.num_layers; ++i) {
      reference.heads.push_back(at::rand({5, width}) - 0.5);
      reference.neurons.push_back(at::rand({5, decoder_.spec.mlp_width}) - 0.5);
    }
    return reference;
  }

  void ExpectAutograds(const std::vector<int>& lengths,
                       const ReferenceValues* reference) {
    const int64_t rows = static_cast<int64_t>(lengths.size());
    at::Tensor masks = at::rand({rows, NumUnits()});
    std::vector<TokenId> targets;
    std::vector<int64_t> column;
    for (int64_t i = 0; i < rows; ++i) {
      targets.push_back(static_cast<TokenId>(5 * i + 2));
      column.push_back(5 * i + 2);
    }
    SequenceBatch truth_batch(decoder_, Sequences(lengths));
    at::Tensor leaf = masks.clone();
    leaf.requires_grad_(true);
    const c10::AutoGradMode with_gradients(true);
    const MaskOptions options{.masks = leaf, .reference = reference};
    const at::Tensor logits =
        Logits(decoder_, MaskedForward(decoder_, truth_batch, options));
    const at::Tensor target =
        at::tensor(column, at::dtype(at::kLong)).unsqueeze(1);
    const at::Tensor smooth =
        logits.gather(1, target).squeeze(1) -
        at::logsumexp(logits.scatter(1, target, kMinusInfinity), {1});
    smooth.sum().backward();

    const c10::InferenceMode inference;
    SequenceBatch batch(decoder_, Sequences(lengths));
    const MarginGradient found =
        DifferentiateMargins(decoder_, batch, masks, reference, targets);
    ExpectNear(found.logits, logits.detach());
    ExpectNear(found.smooth, smooth.detach());
    ExpectNear(found.gradient, leaf.grad());
    EXPECT_GT(leaf.grad().abs().amax().item<float>(), 1e-4);
  }

  static void ExpectNear(const at::Tensor& have, const at::Tensor& want) {
    ASSERT_EQ(have.sizes(), want.sizes());
    const float scale = 1 + want.abs().amax().item<float>();
    EXPECT_LT((have - want).abs().amax().item<float>(), 1e-5f * scale);
  }

  const std::shared_ptr<const Snapshot> snapshot_;  // holds the weights
  const Decoder decoder_;
};

TEST_P(MarginGradientTest, EqualsAutograd) {
  ExpectAutograds({1, 1, 3, 3, 3, 9}, nullptr);
  ExpectAutograds({6, 6}, nullptr);
}

TEST_P(MarginGradientTest, EqualsAutogradOnSingleTokens) {
  ExpectAutograds({1}, nullptr);
  ExpectAutograds({1, 1, 1}, nullptr);
}

TEST_P(MarginGradientTest, EqualsAutogradWithAReference) {
  const ReferenceValues reference = RandomReference();
  ExpectAutograds({1, 2, 2, 8}, &reference);
  ExpectAutograds({1, 1}, &reference);
}

INSTANTIATE_TEST_SUITE_P(Models,
                         MarginGradientTest,
                         testing::ValuesIn(SmallModels()),
                         [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace spar::models
