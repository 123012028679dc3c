// Seconds of a training step on the recipe of "Interpreting Language Model
// Parameters", by part, and against a plain transcription of it: every loss
// with runs of its own, Delta multiplied densely, all slopes by automatic
// differentiation (tests/train/plain_recipe.h, which the tests hold to the same
// losses and slopes).
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <ATen/Parallel.h>

#include "base/status.h"
#include "bench/bench_report.h"
#include "models/decomposition/random_decomposition.h"
#include "models/snapshot/random_snapshot.h"
#include "models/torch/aten.h"
#include "models/torch/train/decoder_target.h"
#include "models/torch/train/draws.h"
#include "models/torch/train/trainer.h"
#include "tests/train/plain_recipe.h"

namespace spar::bench {
namespace {

using namespace models;  // NOLINT: one program, one subject

constexpr int kSequences = 8;
constexpr int kLength = 64;
constexpr int kVocab = 512;

// `scale` 1: the small one; 2: four times its parameters.
DecoderSpec TargetShape(int scale) {
  DecoderSpec shape;
  shape.family = "llama_simple_mlp";
  shape.num_layers = 2;
  shape.width = 128 * scale;
  shape.num_heads = 4;
  shape.num_kv_heads = 4;
  shape.head_dim = 32 * scale;
  shape.mlp_width = 512 * scale;
  shape.vocab_size = kVocab;
  shape.context_length = kLength;
  shape.norm = NormKind::kRmsNorm;
  shape.positions = PositionKind::kRotary;
  shape.rotary = {.dim = 32 * scale};
  shape.tied_embeddings = true;
  return shape;
}

DecompositionSpec SpecFor(const Snapshot& snapshot, int scale) {
  CiSpec ci;
  ci.kind = CiKind::kGlobalSharedTransformer;
  ci.width = 128 * scale;
  ci.num_blocks = 2;
  ci.hidden = {512 * scale};
  ci.attention = {.num_heads = 4, .max_positions = kLength};
  return RandomDecompositionSpec(snapshot,
                                 {{ModuleSite::kQ, 64 * scale},
                                  {ModuleSite::kK, 64 * scale},
                                  {ModuleSite::kV, 96 * scale},
                                  {ModuleSite::kO, 96 * scale},
                                  {ModuleSite::kUp, 256 * scale},
                                  {ModuleSite::kDown, 256 * scale}},
                                 std::move(ci));
}

TrainConfig PaperRecipe() {
  TrainConfig config;
  config.steps = 1000;
  config.batch_size = kSequences;
  config.data.sequence_length = kLength;
  config.rate = {.rate = 5e-5, .shape = RateShape::kCosine, .final_share = 0.1};
  config.clip_components = 0.01;
  config.losses = {
      {.name = "FaithfulnessLoss",
       .kind = LossKind::kFaithfulness,
       .coefficient = 1e7},
      {.name = "ImportanceMinimalityLoss",
       .kind = LossKind::kImportanceMinimality,
       .coefficient = 2e-4,
       .power = {.from = 2, .to = 0.4},
       .beta = 0.5},
      {.name = "StochasticReconSubsetLoss",
       .kind = LossKind::kStochasticRecon,
       .coefficient = 0.5,
       .routing = {.kind = RoutingKind::kUniformSubset}},
      {.name = "PersistentPGDReconSubsetLoss",
       .kind = LossKind::kPersistentPgdRecon,
       .coefficient = 0.5,
       .routing = {.kind = RoutingKind::kUniformSubset},
       .persistent = PersistentPgdConfig{
           .adam = true,
           .beta1 = 0.5,
           .beta2 = 0.99,
           .rate = {.rate = 0.01, .final_share = 1, .warmup = 0.025},
           .scope = PersistentPgdConfig::Scope::kPerBatchPerPosition,
           .warmup_steps = 2}}};
  return config;
}

class UniformTokens final : public TrainData {
 public:
  at::Tensor Batch(int64_t step) const override {
    return (DrawKey(1).Of(step).Uniform({kSequences, kLength}, at::kCPU) *
            kVocab)
        .floor()
        .to(at::kLong);
  }
};

// Returns the speedup.
double Compare(const std::string& name, int scale, int rounds) {
  const auto snapshot =
      MakeRandomSnapshot(TargetShape(scale), /*biases=*/false, 1);
  const Decoder decoder = LoadDecoder(*snapshot, at::kCPU, at::kFloat);
  const DecompositionSpec spec = SpecFor(*snapshot, scale);
  const DecoderTarget target(decoder, spec.modules);
  const UniformTokens data;
  const TrainConfig config = PaperRecipe();
  Trainer trainer(target, data, config, spec);
  PlainRecipe plain(target, config, spec, trainer);
  std::vector<double> ours, theirs;
  std::map<std::string, std::vector<double>> parts;
  double difference = 0;
  for (int round = 0; round <= rounds; ++round) {
    absl::StatusOr<TrainProgress> progress = TrainProgress{};
    const double seconds = Seconds([&] { progress = trainer.Next(); });
    INVARIANT(progress.ok());
    std::vector<double> losses;
    const double plain_seconds = Seconds([&] {
      losses = plain.Accumulate(data.Batch(round), round);
      plain.Move(round);
    });
    for (size_t i = 0; i < losses.size(); ++i) {
      difference = std::max(difference,
                            std::abs(progress->terms[i].value / losses[i] - 1));
    }
    if (round == 0) continue;  // memory is touched for the first time
    ours.push_back(seconds);
    theirs.push_back(plain_seconds);
    for (const TrainPart& part : progress->parts) {
      parts[part.name].push_back(part.seconds);
    }
  }
  for (const auto& [part, seconds] : parts) {
    std::string word = part;
    std::ranges::replace(word, ' ', '_');
    Report(base::Cat("train.", name, ".", word), Median(seconds), "s");
  }
  Report(base::Cat("train.", name, ".step"), Median(ours), "s");
  Report(base::Cat("train.", name, ".plain_step"), Median(theirs), "s");
  Report(base::Cat("train.", name, ".largest_difference"), difference,
         "relative");
  const double speedup = Median(theirs) / Median(ours);
  Report(base::Cat("train.", name, ".speedup"), speedup, "x");
  return speedup;
}

int Main(int argc, char** argv) {
  const BenchOptions options = ParseBenchOptions(argc, argv);
  if (options.threads > 0) at::set_num_threads(options.threads);
  Say(base::Cat(kSequences, " x ", kLength, " tokens, float32, ",
                at::get_num_threads(), " threads"));
  double speedup = Compare("small", 1, options.quick ? 7 : 25);
  if (!options.quick) speedup = std::min(speedup, Compare("large", 2, 15));
  Report("train.speedup", speedup, "x");
  return 0;
}

}  // namespace
}  // namespace spar::bench

int main(int argc, char** argv) {
  return spar::bench::Main(argc, argv);
}
