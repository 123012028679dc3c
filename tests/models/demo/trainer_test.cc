// The demo model's trainer on a decoder small enough for a test.
#include "models/demo/trainer.h"

#include <vector>

#include <gtest/gtest.h>

namespace spar::demo {
namespace {

const Vocabulary& TheVocabulary() {
  static const Vocabulary* const vocabulary = new Vocabulary(CorpusWords());
  return *vocabulary;
}

DecoderShape SmallShape() {
  return {.vocab_size = TheVocabulary().size(),
          .num_layers = 1,
          .width = 16,
          .num_heads = 2,
          .mlp_width = 32,
          .context_length = 24};
}

std::vector<double> Losses(uint64_t seed) {
  const TrainingOptions options{.seed = seed,
                                .steps = 60,
                                .batch = 8,
                                .warmup_steps = 5,
                                .learning_rate = 2e-2};
  DemoDecoder decoder(SmallShape(), seed);
  std::vector<double> losses;
  Train(
      TheVocabulary(), options,
      [&losses](int step, double loss) {
        EXPECT_EQ(step, static_cast<int>(losses.size()));
        losses.push_back(loss);
      },
      decoder);
  return losses;
}

TEST(DemoTrainer, TheLossFalls) {
  const std::vector<double> losses = Losses(3);
  ASSERT_EQ(losses.size(), 60u);
  double first = 0, last = 0;
  for (int i = 0; i < 5; ++i) {
    first += losses[i] / 5;
    last += losses[55 + i] / 5;
  }
  EXPECT_NEAR(losses[0], 6.5, 0.3);  // log 677: knows nothing
  EXPECT_LT(last, first - 1.5);
}

TEST(DemoTrainer, TheSeedDecidesEverything) {
  EXPECT_EQ(Losses(3), Losses(3));
  EXPECT_NE(Losses(3), Losses(4));
}

TEST(DemoTrainer, NoiseSparesTheWordsThatAnswersHangOn) {
  const TrainingOptions options;
  Random random(5);
  int replaced = 0, words = 0;
  for (int i = 0; i < 500; ++i) {
    Random before = random;
    const Stretch stretch = TrainingStretch(33, before);
    const Example example = MakeExample(TheVocabulary(), options, 32, random);
    ASSERT_EQ(example.ids.size(), 32u);
    for (int j = 0; j < 32; ++j) {
      const bool same = example.ids[j] == TheVocabulary().Id(stretch.words[j]);
      EXPECT_TRUE(same || !stretch.essential[j]);
      EXPECT_EQ(example.targets[j], TheVocabulary().Id(stretch.words[j + 1]));
      EXPECT_EQ(example.weights[j] == 1.0f, stretch.answer[j + 1]);
      replaced += same ? 0 : 1;
      ++words;
    }
  }
  EXPECT_GT(replaced, words / 200);
  EXPECT_LT(replaced, words / 20);
}

TEST(DemoTrainer, AnUntrainedDecoderAnswersNoFacts) {
  const DemoDecoder decoder({.vocab_size = TheVocabulary().size()}, /*seed=*/1);
  const auto right =
      Answers(decoder, TheVocabulary(), HeldOutQueries(120, {}, 6));
  EXPECT_EQ(right.size(), 120u);
  int count = 0;
  for (const bool answer : right) count += answer ? 1 : 0;
  EXPECT_LT(count, 40);
}

}  // namespace
}  // namespace spar::demo
