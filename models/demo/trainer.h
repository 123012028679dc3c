// L1t. Trains a DemoDecoder on the demo corpus, and measures it.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "models/demo/corpus.h"
#include "models/demo/demo_decoder.h"
#include "models/demo/vocabulary.h"

namespace spar::demo {

struct TrainingOptions {
  uint64_t seed = 1;
  int steps = 3600;
  int batch = 24;  // stretches of text
  int warmup_steps = 100;
  double learning_rate = 3e-3;  // at the peak; cosine to 3 %
  double other_weight = 0.05;   // loss of words that nothing determines
};

// One stretch in a batch, as the model reads it.
struct Example {
  std::vector<int64_t> ids = {};
  std::vector<int64_t> targets = {};
  std::vector<float> weights = {};
};

// A stretch of training text of `length` predictions. In some, words that no
// answer hangs on are replaced by other words.
Example MakeExample(const Vocabulary& vocabulary,
                    const TrainingOptions& options,
                    int length,
                    Random& random);

// Called after every step with the loss of its batch.
using OnStep = std::function<void(int step, double loss)>;

// The same options give the same weights on the same machine and number of
// threads.
void Train(const Vocabulary& vocabulary,
           const TrainingOptions& options,
           const OnStep& on_step,
           DemoDecoder& decoder);

// Per query: whether the decoder's first choice is the answer.
std::vector<bool> Answers(const DemoDecoder& decoder,
                          const Vocabulary& vocabulary,
                          const std::vector<Query>& queries);

}  // namespace spar::demo
