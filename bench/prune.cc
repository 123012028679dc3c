// How much faster many prompts at several prices are pruned side by side than
// one at a time.
//
// A small model with a decomposition of random weights (2 layers, width 128,
// 512 neurons, 1,664 subcomponents, 163 alive at each position), 32 prompts of
// 5 to 8 tokens, as the paper's examples are, at 8 prices: 256 rows. Both sides
// are the same code and the same arithmetic, for the same number of steps;
// alone, each row is an optimisation of its own. Kinds: importances as masks;
// stochastic masks; stochastic masks with an adversary of 5 steps.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <ATen/Parallel.h>

#include "base/status.h"
#include "bench/bench_report.h"
#include "bench/random_components.h"
#include "models/decomposition/decomposable_modules.h"
#include "models/snapshot/random_snapshot.h"
#include "models/torch/aten.h"
#include "models/torch/prune/torch_pruning.h"
#include "models/torch/uniform_numbers.h"

namespace spar::bench {
namespace {

using models::ComponentModule;
using models::DecoderSpec;
using models::DecomposedDecoder;
using models::DecomposedModule;
using models::ModuleSite;
using models::PrunedRow;
using models::PruneRequest;
using models::TokenId;

constexpr int kPrompts = 32;
constexpr double kAlive = 163;  // subcomponents at a position

DecoderSpec SmallTarget() {
  DecoderSpec spec;
  spec.num_layers = 2;
  spec.width = 128;
  spec.num_heads = 4;
  spec.num_kv_heads = 4;
  spec.head_dim = 32;
  spec.mlp_width = 512;
  spec.vocab_size = 512;
  spec.context_length = 64;
  spec.norm = models::NormKind::kRmsNorm;
  spec.positions = models::PositionKind::kRotary;
  spec.rotary = {.dim = 32};
  spec.tied_embeddings = true;
  return spec;
}

std::vector<DecomposedModule> SmallModules(const DecoderSpec& spec) {
  const std::map<ModuleSite, int> counts = {
      {ModuleSite::kQ, 64}, {ModuleSite::kK, 64},   {ModuleSite::kV, 96},
      {ModuleSite::kO, 96}, {ModuleSite::kUp, 256}, {ModuleSite::kDown, 256}};
  std::vector<DecomposedModule> modules;
  for (DecomposedModule& module : models::DecomposableModules(spec)) {
    const auto count = counts.find(module.site);
    if (count == counts.end()) continue;
    module.num_components = count->second;
    modules.push_back(module);
  }
  return modules;
}

// z of every module, a function of the token and its position.
std::vector<at::Tensor> DrawLogits(const std::vector<ComponentModule>& modules,
                                   std::span<const TokenId> tokens) {
  int64_t all = 0;
  for (const ComponentModule& module : modules) {
    all += module.module.num_components;
  }
  const float share = static_cast<float>(kAlive / static_cast<double>(all));
  std::vector<at::Tensor> logits;
  for (size_t m = 0; m < modules.size(); ++m) {
    const int64_t components = modules[m].module.num_components;
    at::Tensor z = at::empty({static_cast<int64_t>(tokens.size()), components},
                             at::dtype(at::kFloat));
    float* value = z.mutable_data_ptr<float>();
    for (size_t t = 0; t < tokens.size(); ++t) {
      std::vector<float> draws(static_cast<size_t>(components));
      models::FillUniform(m, tokens[t] * 100 + t, draws);
      for (const float draw : draws) {
        *value++ = draw < share ? 0.3f + 0.7f * draw / share : -0.3f;
      }
    }
    logits.push_back(z);
  }
  return logits;
}

std::vector<PrunedRow> Run(const models::PruneSubject& subject,
                           const PruneRequest& request) {
  const auto pruning = models::MakeTorchPruning(subject, request, {});
  std::vector<PrunedRow> rows;
  while (!pruning->done()) {
    auto some = pruning->Next();
    INVARIANT(some.ok());
    for (PrunedRow& row : *some) rows.push_back(std::move(row));
  }
  return rows;
}

// The request's rows together against some of them alone.
double Compare(const models::PruneSubject& subject,
               const PruneRequest& request,
               const std::string& name,
               int rounds,
               int alone_rows) {
  std::vector<double> speedups, together_ms, alone_ms;
  double difference = 0;
  const double row_steps = static_cast<double>(
      request.prompts.size() * request.coefficients.size() * request.steps);
  std::mt19937 random(5);
  for (int round = 0; round < rounds; ++round) {
    std::vector<PrunedRow> rows;
    const double together =
        Seconds([&] { rows = Run(subject, request); }) / row_steps;
    double alone = 0;
    for (int i = 0; i < alone_rows; ++i) {
      const PrunedRow& row = rows[random() % rows.size()];
      PruneRequest one = request;
      one.prompts = {request.prompts[row.prompt]};
      one.coefficients = {request.coefficients[row.coefficient]};
      std::vector<PrunedRow> result;
      alone += Seconds([&] { result = Run(subject, one); }) /
               (alone_rows * request.steps);
      difference = std::max(
          difference, std::abs(result[0].losses.total - row.losses.total));
    }
    together_ms.push_back(together * 1e3);
    alone_ms.push_back(alone * 1e3);
    speedups.push_back(alone / together);
  }
  Report("prune." + name + "_together", Median(together_ms), "ms/row/step");
  Report("prune." + name + "_alone", Median(alone_ms), "ms/row/step");
  Report("prune." + name + "_difference", difference, "nats");
  Report("prune." + name + "_speedup", Median(speedups), "x");
  return Median(speedups);
}

int Main(int argc, char** argv) {
  const BenchOptions options = ParseBenchOptions(argc, argv);
  if (options.threads > 0) at::set_num_threads(options.threads);
  const auto snapshot =
      models::MakeRandomSnapshot(SmallTarget(), /*biases=*/false, 1);
  const models::Decoder decoder =
      models::LoadDecoder(*snapshot, at::kCPU, at::kFloat);
  DecomposedDecoder decomposed(decoder,
                               RandomComponents(SmallModules(decoder.spec)));
  models::PruneSubject subject;
  subject.decomposed = &decomposed;
  subject.logits = [&](std::span<const TokenId> tokens) {
    return DrawLogits(decomposed.modules(), tokens);
  };
  PruneRequest request;
  request.decomposition = "random";
  std::mt19937 random(3);
  for (int p = 0; p < kPrompts; ++p) {
    std::vector<TokenId> tokens(5 + random() % 4);
    for (TokenId& token : tokens) {
      token = static_cast<TokenId>(random() % decoder.spec.vocab_size);
    }
    request.prompts.push_back({.tokens = std::move(tokens)});
  }
  request.coefficients = {1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2};
  request.steps = options.quick ? 10 : 40;
  const int rounds = options.quick ? 3 : 9;
  Say(base::Cat(kPrompts, " prompts at ", request.coefficients.size(),
                " prices, float32, ", at::get_num_threads(), " threads"));

  request.masks = models::PruneMasks::kCausalImportance;
  const double importance = Compare(subject, request, "importance", rounds, 12);
  request.masks = models::PruneMasks::kStochastic;
  const double stochastic = Compare(subject, request, "stochastic", rounds, 12);
  request.adversary = {.steps = 5};
  request.steps /= 5;
  const double attacked = Compare(subject, request, "attacked", rounds, 12);
  Report("prune.speedup", std::min({importance, stochastic, attacked}), "x");
  return 0;
}

}  // namespace
}  // namespace spar::bench

int main(int argc, char** argv) {
  return spar::bench::Main(argc, argv);
}
