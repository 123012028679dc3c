// Masked runs of decomposed decoders against plain float64 loops.
#include "models/torch/component_forward.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <string>

#include "gtest/gtest.h"

#include "models/decomposition/random_decomposition.h"
#include "models/torch/aten.h"
#include "models/torch/masked_forward.h"
#include "models/torch/recomposition.h"
#include "tests/conformance/decoders.h"
#include "tests/conformance/plain_decoder.h"
#include "tests/conformance/rows.h"

namespace spar::models {
namespace {

constexpr int kForwardComponents = 11;

// Masks of a whole batch, dense, and where each came from.
struct DenseMasks {
  std::vector<at::Tensor> components = {};  // [module]: [tokens, C]
  std::vector<at::Tensor> deltas = {};      // [module]: [tokens]
};

class ComponentForwardTest : public testing::TestWithParam<NamedDecoder> {
 protected:
  ComponentForwardTest()
      : snapshot_(*GetParam().snapshot),
        decoder_(LoadDecoder(snapshot_, at::kCPU, at::kFloat)),
        decomposition_(MakeRandomDecomposition(
            RandomDecompositionSpec(
                snapshot_, AllSites(kForwardComponents), CiSpec{}),
            {.seed = 5})),
        decomposed_(decoder_,
                    LoadComponents(*decomposition_, at::kCPU, at::kFloat)) {
    prompts_ = {RandomTokens(random_, decoder_.spec.vocab_size, 9),
                RandomTokens(random_, decoder_.spec.vocab_size, 9),
                RandomTokens(random_, decoder_.spec.vocab_size, 4)};
  }

  SequenceBatch Batch() const {
    std::vector<Sequence> sequences;
    for (const auto& prompt : prompts_) {
      sequences.push_back(WholeSequence(prompt));
    }
    return SequenceBatch(decoder_, sequences);
  }

  int64_t NumTokens() const {
    int64_t tokens = 0;
    for (const auto& prompt : prompts_) {
      tokens += static_cast<int64_t>(prompt.size());
    }
    return tokens;
  }

  at::Tensor Random(std::vector<int64_t> sizes, double low, double high) {
    at::Tensor values = at::empty(sizes, at::dtype(at::kFloat));
    std::uniform_real_distribution<float> draw(static_cast<float>(low),
                                               static_cast<float>(high));
    float* const begin = values.mutable_data_ptr<float>();
    std::generate(begin, begin + values.numel(), [&] { return draw(random_); });
    return values;
  }

  // Logits of all tokens as the engine has them after a stream.
  Matrix Read(const at::Tensor& stream) const {
    const at::Tensor logits = Logits(decoder_, stream).contiguous();
    const float* value = logits.const_data_ptr<float>();
    Matrix rows(logits.size(0), Vector(logits.size(1)));
    for (Vector& row : rows) {
      for (double& number : row) number = *value++;
    }
    return rows;
  }

  Matrix Run(std::vector<ComponentMasks> masks, ComponentRun run = {}) {
    SequenceBatch batch = Batch();
    run.modules = MaskModules(decomposed_, std::move(masks));
    return Read(ComponentForward(decomposed_, batch, run));
  }

  // Dense masks as one list per module of all subcomponents.
  std::vector<ComponentMasks> Listed(const DenseMasks& dense) const {
    std::vector<ComponentMasks> masks;
    for (size_t m = 0; m < dense.components.size(); ++m) {
      masks.push_back(
          {.values = dense.components[m], .deltas = dense.deltas[m]});
    }
    return masks;
  }

  DenseMasks RandomMasks() {
    DenseMasks masks;
    for (const ComponentModule& module : decomposed_.modules()) {
      masks.components.push_back(
          Random({NumTokens(), module.module.num_components}, -0.5, 1.5));
      masks.deltas.push_back(Random({NumTokens()}, 0, 1));
    }
    return masks;
  }

  // The truth, all tokens of all prompts.
  Matrix Plain(const DenseMasks& masks,
               const at::Tensor& heads = {},
               const at::Tensor& neurons = {}) {
    PlainDecoder plain(snapshot_);
    Matrix logits;
    int64_t first = 0;
    for (const auto& prompt : prompts_) {
      for (size_t m = 0; m < masks.components.size(); ++m) {
        const DecomposedModule& module = decomposition_->spec().modules[m];
        plain.modules[module.name + ".weight"] =
            PlainOf(static_cast<int>(m), masks, first,
                    static_cast<int64_t>(prompt.size()));
      }
      if (heads.defined()) {
        plain.head_scale = [&heads, first](int, int t, int h) {
          return heads.const_data_ptr<float>()[(first + t) * heads.size(1) + h];
        };
        plain.neuron_scale = [&neurons, first](int, int t, int n) {
          return neurons
              .const_data_ptr<float>()[(first + t) * neurons.size(1) + n];
        };
      }
      for (Vector& row : plain.Logits(prompt)) {
        logits.push_back(std::move(row));
      }
      first += static_cast<int64_t>(prompt.size());
    }
    return logits;
  }

  static Matrix ToMatrix(const at::Tensor& tensor) {
    const at::Tensor floats = tensor.contiguous();
    const float* value = floats.const_data_ptr<float>();
    Matrix rows(floats.size(0), Vector(floats.size(1)));
    for (Vector& row : rows) {
      for (double& number : row) number = *value++;
    }
    return rows;
  }

  PlainModule PlainOf(int m,
                      const DenseMasks& masks,
                      int64_t first,
                      int64_t count) const {
    const ComponentModule& module = decomposed_.modules()[m];
    PlainModule plain;
    plain.v = ToMatrix(module.v);
    plain.u = ToMatrix(module.u);
    plain.masks = ToMatrix(masks.components[m].narrow(0, first, count));
    const float* const deltas = masks.deltas[m].const_data_ptr<float>();
    plain.deltas.assign(deltas + first, deltas + first + count);
    return plain;
  }

  static void ExpectEqual(const Matrix& got,
                          const Matrix& want,
                          double tolerance = 2e-4) {
    ASSERT_EQ(got.size(), want.size());
    for (size_t t = 0; t < want.size(); ++t) {
      double scale = 1;
      for (const double value : want[t]) {
        scale = std::max(scale, std::abs(value));
      }
      for (size_t i = 0; i < want[t].size(); ++i) {
        ASSERT_NEAR(got[t][i], want[t][i], tolerance * scale)
            << "token " << t << ", logit " << i;
      }
    }
  }

  const Snapshot& snapshot_;
  const Decoder decoder_;
  const std::shared_ptr<const Decomposition> decomposition_;
  DecomposedDecoder decomposed_;
  std::mt19937 random_{11};
  std::vector<std::vector<TokenId>> prompts_ = {};
};

TEST_P(ComponentForwardTest, MasksByPositionEqualThePlainLoops) {
  const c10::InferenceMode inference;
  const DenseMasks masks = RandomMasks();
  ExpectEqual(Run(Listed(masks)), Plain(masks));
}

// Masks 1 and Delta 1 in every way of saying so.
TEST_P(ComponentForwardTest, EverythingOnIsTheTarget) {
  const c10::InferenceMode inference;
  SequenceBatch batch = Batch();
  MaskOptions options;
  options.last_only = false;
  const Matrix target = Read(MaskedForward(decoder_, batch, options));
  const int64_t tokens = NumTokens();
  std::vector<ComponentMasks> rest, listed, sparse, by_token;
  for (size_t m = 0; m < decomposed_.modules().size(); ++m) {
    const at::Tensor ones = at::ones({tokens, kForwardComponents});
    const at::Tensor ids = at::arange(kForwardComponents, at::dtype(at::kLong));
    rest.push_back({});
    listed.push_back({.values = ones});
    sparse.push_back({.rest = 0, .ids = ids, .values = ones});
    by_token.push_back({.rest = 0.25,
                        .ids = ids,
                        .values = ones,
                        .deltas = at::ones({tokens})});
  }
  ExpectEqual(Run(rest), target, 1e-5);
  ExpectEqual(Run(listed), target, 1e-5);
  ExpectEqual(Run(sparse), target);
  ExpectEqual(Run(by_token), target);
}

// Few alive subcomponents: listed among all, gathered, and with Delta.
TEST_P(ComponentForwardTest, AGatherEqualsTheDensePass) {
  const c10::InferenceMode inference;
  for (const double delta : {0.0, 1.0, 0.3}) {
    DenseMasks dense;
    std::vector<ComponentMasks> listed, gathered;
    for (size_t m = 0; m < decomposed_.modules().size(); ++m) {
      const at::Tensor ids =
          at::tensor(std::vector<int64_t>{2, static_cast<int64_t>(5 + m % 6)},
                     at::dtype(at::kLong));
      const at::Tensor values = Random({NumTokens(), 2}, -1, 2);
      dense.components.push_back(at::zeros({NumTokens(), kForwardComponents})
                                     .index_copy(1, ids, values));
      dense.deltas.push_back(at::zeros({NumTokens()}).fill_(delta));
      listed.push_back({.values = dense.components[m], .delta = delta});
      gathered.push_back(
          {.rest = 0, .ids = ids, .values = values, .delta = delta});
    }
    const Matrix plain = Plain(dense);
    ExpectEqual(Run(listed), plain);
    ExpectEqual(Run(gathered), plain);
  }
}

TEST_P(ComponentForwardTest, SharedMasksRecomposeTheWeights) {
  const c10::InferenceMode inference;
  struct Setting {
    double rest, delta;
    bool list_all;
  };
  for (const Setting& setting :
       {Setting{1, 1, false}, Setting{1, 0, false}, Setting{0, 0, false},
        Setting{0, 0.7, false}, Setting{0, 0.4, true}}) {
    DenseMasks dense;
    std::vector<ComponentMasks> shared, by_token;
    for (size_t m = 0; m < decomposed_.modules().size(); ++m) {
      at::Tensor ids =
          at::tensor(std::vector<int64_t>{1, 4, 7}, at::dtype(at::kLong));
      if (setting.list_all)
        ids = at::arange(kForwardComponents, at::dtype(at::kLong));
      const at::Tensor values = Random({1, ids.size(0)}, -0.5, 1.5);
      at::Tensor all = at::zeros({1, kForwardComponents}).fill_(setting.rest);
      all = all.index_copy(1, ids, values).expand({NumTokens(), -1});
      dense.components.push_back(all.contiguous());
      dense.deltas.push_back(at::zeros({NumTokens()}).fill_(setting.delta));
      ComponentMasks masks{.rest = setting.rest,
                           .ids = setting.list_all ? at::Tensor() : ids,
                           .values = values,
                           .delta = setting.delta};
      shared.push_back(masks);
      by_token.push_back(
          {.values = dense.components[m], .deltas = dense.deltas[m]});
    }
    const Matrix plain = Plain(dense);
    const Decoder recomposed = RecomposedDecoder(decomposed_, shared);
    SequenceBatch batch = Batch();
    MaskOptions options;
    options.last_only = false;
    ExpectEqual(Read(MaskedForward(recomposed, batch, options)), plain);
    ExpectEqual(Run(shared), plain);
    ExpectEqual(Run(by_token), plain);
  }
}

TEST_P(ComponentForwardTest, UntouchedWeightsAreNotCopied) {
  const c10::InferenceMode inference;
  std::vector<ComponentMasks> masks(decomposed_.modules().size());
  masks.back().delta = 0;
  const Decoder recomposed = RecomposedDecoder(decomposed_, masks);
  const auto& mine = recomposed.weights.layers;
  const auto& theirs = decoder_.weights.layers;
  EXPECT_TRUE(mine[0].mlp.down.is_same(theirs[0].mlp.down));
  EXPECT_FALSE(mine.back().mlp.down.is_same(theirs.back().mlp.down));
  EXPECT_TRUE(mine.back().attention.qkv.is_same(theirs.back().attention.qkv));
}

TEST_P(ComponentForwardTest, HeadsAndNeuronsScaleByPosition) {
  const c10::InferenceMode inference;
  const DenseMasks masks = RandomMasks();
  const at::Tensor heads =
      Random({NumTokens(), decoder_.spec.num_heads}, -1, 2);
  const at::Tensor neurons =
      Random({NumTokens(), decoder_.spec.mlp_width}, -1, 2);
  ComponentRun run;
  run.heads.assign(decoder_.spec.num_layers, heads);
  run.neurons.assign(decoder_.spec.num_layers, neurons);
  ExpectEqual(Run(Listed(masks), run), Plain(masks, heads, neurons));
}

TEST_P(ComponentForwardTest, TheLastPositionsAloneEqualThemselvesAmongAll) {
  const c10::InferenceMode inference;
  const DenseMasks masks = RandomMasks();
  ComponentRun run;
  run.heads.assign(decoder_.spec.num_layers,
                   Random({NumTokens(), decoder_.spec.num_heads}, 0, 1));
  const Matrix all = Run(Listed(masks), run);
  run.last_only = true;
  const Matrix last = Run(Listed(masks), run);
  size_t end = 0;
  Matrix want;
  for (const auto& prompt : prompts_) {
    end += prompt.size();
    want.push_back(all[end - 1]);
  }
  ExpectEqual(last, want, 1e-5);
}

TEST_P(ComponentForwardTest, ARunEntersAtAnyLayer) {
  const c10::InferenceMode inference;
  const DenseMasks masks = RandomMasks();
  std::vector<at::Tensor> streams;
  ComponentRun run;
  run.see_stream = [&](int, const at::Tensor& stream) {
    streams.push_back(stream.clone());
  };
  const Matrix whole = Run(Listed(masks), run);
  for (int layer = 0; layer < decoder_.spec.num_layers; ++layer) {
    ComponentRun later;
    later.first_layer = layer;
    later.stream = streams[layer];
    ExpectEqual(Run(Listed(masks), later), whole, 1e-6);
  }
}

// The slope of a loss along a random direction of masks and Deltas, by autograd
// and by central differences.
TEST_P(ComponentForwardTest, GradientsOfMasksEqualDifferences) {
  const DenseMasks masks = RandomMasks();
  const DenseMasks direction = RandomMasks();
  const at::Tensor weights = Random({NumTokens(), decoder_.spec.width}, -1, 1);
  const auto loss = [&](const DenseMasks& at) {
    SequenceBatch batch = Batch();
    ComponentRun run;
    run.modules = MaskModules(decomposed_, Listed(at));
    return (ComponentForward(decomposed_, batch, run) * weights)
        .sum(at::kDouble);
  };
  DenseMasks leaves;
  for (size_t m = 0; m < masks.components.size(); ++m) {
    leaves.components.push_back(masks.components[m].clone());
    leaves.deltas.push_back(masks.deltas[m].clone());
    leaves.components[m].requires_grad_(true);
    leaves.deltas[m].requires_grad_(true);
  }
  loss(leaves).backward();
  double slope = 0;
  const float step = 1e-2f;
  DenseMasks up = masks, down = masks;
  for (size_t m = 0; m < masks.components.size(); ++m) {
    slope += (leaves.components[m].grad() * direction.components[m])
                 .sum(at::kDouble)
                 .item<double>() +
             (leaves.deltas[m].grad() * direction.deltas[m])
                 .sum(at::kDouble)
                 .item<double>();
    up.components[m] = masks.components[m] + direction.components[m] * step;
    down.components[m] = masks.components[m] - direction.components[m] * step;
    up.deltas[m] = masks.deltas[m] + direction.deltas[m] * step;
    down.deltas[m] = masks.deltas[m] - direction.deltas[m] * step;
  }
  const c10::InferenceMode inference;
  const double difference = (loss(up) - loss(down)).item<double>() / (2 * step);
  EXPECT_NEAR(slope, difference, 0.03 * std::max(1.0, std::abs(difference)));
}

INSTANTIATE_TEST_SUITE_P(All,
                         ComponentForwardTest,
                         testing::ValuesIn(AllDecoders()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace spar::models
