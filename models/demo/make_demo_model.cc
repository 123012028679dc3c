// Trains the demo model and writes its folder: weights, config, tokenizer and
// reference prompts. The model card says which command made the shipped one.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>

#include <CLI/CLI.hpp>

#include <ATen/Parallel.h>

#include "base/status.h"
#include "models/demo/model_folder.h"
#include "models/demo/trainer.h"

namespace spar::demo {
namespace {

struct Flags {
  std::string out = "models/demo/model";
  TrainingOptions training = {};
  int threads = 1;
  int queries_per_type = 500;
};

constexpr uint64_t kAccuracySeed = 90001;

// Prints the share of right answers of every type; returns the smallest.
double PrintAccuracy(const DemoDecoder& decoder,
                     const Vocabulary& vocabulary,
                     int queries_per_type) {
  double smallest = 1;
  for (const QueryType type : kQueryTypes) {
    Random random(kAccuracySeed + static_cast<int>(type));
    std::vector<Query> queries;
    for (int i = 0; i < queries_per_type; ++i) {
      queries.push_back(HeldOutQuery(type, QueryOptions{}, random));
    }
    int right = 0;
    for (const bool answer : Answers(decoder, vocabulary, queries)) {
      right += answer ? 1 : 0;
    }
    const double share = static_cast<double>(right) / queries_per_type;
    std::printf("accuracy %-10s %.4f (%d of %d)\n", QueryTypeName(type).data(),
                share, right, queries_per_type);
    smallest = std::min(smallest, share);
  }
  std::fflush(stdout);
  return smallest;
}

absl::Status Run(const Flags& flags) {
  at::set_num_threads(flags.threads);
  const Vocabulary vocabulary(CorpusWords());
  DemoDecoder decoder({.vocab_size = vocabulary.size()}, flags.training.seed);
  std::printf("vocabulary %d, seed %d, %d steps of %d x %d, %d threads\n",
              vocabulary.size(), static_cast<int>(flags.training.seed),
              flags.training.steps, flags.training.batch,
              decoder.shape().context_length, flags.threads);
  const auto start = std::chrono::steady_clock::now();
  double mean_loss = 0;
  const auto on_step = [&](int step, double loss) {
    mean_loss += loss / 100;
    if ((step + 1) % 100 != 0) return;
    const std::chrono::duration<double> seconds =
        std::chrono::steady_clock::now() - start;
    std::printf("step %d loss %.4f seconds %.0f\n", step + 1, mean_loss,
                seconds.count());
    std::fflush(stdout);
    mean_loss = 0;
    if ((step + 1) % 500 == 0) PrintAccuracy(decoder, vocabulary, 100);
  };
  Train(vocabulary, flags.training, on_step, decoder);
  PrintAccuracy(decoder, vocabulary, flags.queries_per_type);
  return WriteModelFolder(decoder, vocabulary, flags.out);
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Trains the demo model on a corpus that it generates itself.");
  app.add_option("--out", flags.out, "folder to write")->capture_default_str();
  app.add_option("--seed", flags.training.seed)->capture_default_str();
  app.add_option("--steps", flags.training.steps)->capture_default_str();
  app.add_option("--batch", flags.training.batch, "stretches of 64 words")
      ->capture_default_str();
  app.add_option("--learning-rate", flags.training.learning_rate)
      ->capture_default_str();
  app.add_option("--threads", flags.threads)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = Run(flags);
  if (!status.ok()) {
    std::cerr << "make_demo_model: " << base::MessageOf(status) << "\n";
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace spar::demo

int main(int argc, char** argv) {
  return spar::demo::Main(argc, argv);
}
