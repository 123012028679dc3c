// L1t. See trainer.h.
#include "models/demo/trainer.h"

#include <algorithm>
#include <cmath>

#include "models/torch/adamw.h"
#include "models/torch/aten.h"

namespace spar::demo {
namespace {

constexpr double kNoisyShare = 0.35;    // of examples
constexpr double kUnknownShare = 0.05;  // of replaced words
constexpr int kQueriesPerBatch = 64;

template <typename T>
at::Tensor Rows(const std::vector<T>& values,
                int64_t rows,
                at::ScalarType type) {
  return at::from_blob(const_cast<T*>(values.data()),
                       {rows, static_cast<int64_t>(values.size()) / rows},
                       at::TensorOptions().dtype(type))
      .clone();
}

double LearningRate(int step, const TrainingOptions& options) {
  if (step < options.warmup_steps) {
    return options.learning_rate * (step + 1) / options.warmup_steps;
  }
  const double done = static_cast<double>(step - options.warmup_steps) /
                      std::max(1, options.steps - options.warmup_steps);
  return options.learning_rate *
         (0.03 + 0.97 * 0.5 * (1 + std::cos(M_PI * done)));
}

// The weighted mean of -log p(target).
at::Tensor Loss(const DemoDecoder& decoder,
                const at::Tensor& ids,
                const at::Tensor& targets,
                const at::Tensor& weights) {
  const at::Tensor features =
      decoder.Features(ids).view({-1, decoder.shape().width});
  const at::Tensor log_probabilities = decoder.Logits(features).log_softmax(-1);
  const at::Tensor chosen =
      log_probabilities.gather(1, targets.view({-1, 1})).view({-1});
  return (chosen * weights.view({-1})).sum() / weights.sum().neg();
}

}  // namespace

Example MakeExample(const Vocabulary& vocabulary,
                    const TrainingOptions& options,
                    int length,
                    Random& random) {
  const Stretch stretch = TrainingStretch(length + 1, random);
  const double noise =
      random.Chance(kNoisyShare) ? 0.02 + 0.28 * random.Unit() : 0.0;
  Example example;
  for (int i = 0; i < length; ++i) {
    int64_t id = vocabulary.Id(stretch.words[i]);
    if (!stretch.essential[i] && random.Chance(noise)) {
      id = random.Chance(kUnknownShare) ? 0 : random.Below(vocabulary.size());
    }
    example.ids.push_back(id);
    example.targets.push_back(vocabulary.Id(stretch.words[i + 1]));
    example.weights.push_back(stretch.answer[i + 1]
                                  ? 1.0f
                                  : static_cast<float>(options.other_weight));
  }
  return example;
}

void Train(const Vocabulary& vocabulary,
           const TrainingOptions& options,
           const OnStep& on_step,
           DemoDecoder& decoder) {
  const int length = decoder.shape().context_length;
  Random random(options.seed);
  const models::AdamWOptions adamw{
      .beta2 = 0.98, .weight_decay = 0.02, .max_norm = 1.0};
  models::AdamW optimiser(decoder.parameters(), adamw);
  for (int step = 0; step < options.steps; ++step) {
    Example batch;
    for (int i = 0; i < options.batch; ++i) {
      const Example one = MakeExample(vocabulary, options, length, random);
      batch.ids.insert(batch.ids.end(), one.ids.begin(), one.ids.end());
      batch.targets.insert(batch.targets.end(), one.targets.begin(),
                           one.targets.end());
      batch.weights.insert(batch.weights.end(), one.weights.begin(),
                           one.weights.end());
    }
    at::Tensor loss = Loss(decoder, Rows(batch.ids, options.batch, at::kLong),
                           Rows(batch.targets, options.batch, at::kLong),
                           Rows(batch.weights, options.batch, at::kFloat));
    loss.backward();
    optimiser.Step(LearningRate(step, options));
    on_step(step, loss.item<double>());
  }
}

std::vector<bool> Answers(const DemoDecoder& decoder,
                          const Vocabulary& vocabulary,
                          const std::vector<Query>& queries) {
  const c10::InferenceMode inference;
  const int64_t length = decoder.shape().context_length;
  std::vector<bool> right;
  for (size_t begin = 0; begin < queries.size(); begin += kQueriesPerBatch) {
    const size_t end = std::min(queries.size(), begin + kQueriesPerBatch);
    // Prompts are filled up at their end, which a causal model never sees.
    std::vector<int64_t> ids((end - begin) * length, 0);
    for (size_t i = begin; i < end; ++i) {
      const auto tokens = vocabulary.Ids(queries[i].prompt);
      std::copy(tokens.begin(), tokens.end(),
                ids.begin() + (i - begin) * length);
    }
    const at::Tensor features =
        decoder.Features(Rows(ids, end - begin, at::kLong));
    for (size_t i = begin; i < end; ++i) {
      const at::Tensor last =
          features.select(0, i - begin).select(0, queries[i].prompt.size() - 1);
      const int64_t best = decoder.Logits(last).argmax().item<int64_t>();
      right.push_back(best == vocabulary.Id(queries[i].answer));
    }
  }
  return right;
}

}  // namespace spar::demo
