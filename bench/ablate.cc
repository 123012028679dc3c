// How many rows a second a sweep over alive nodes gives, against one dense
// masked forward a row.
//
// The paper's target and decomposition (VPD: 4 layers, width 768, 38,912
// subcomponents) with random weights. At each of 16 positions nodes are alive
// at the published mean counts of each layer, drawn anew for each position. The
// dense forward multiplies every subcomponent at every position, one row at a
// time, as masked forwards are usually run; the sweep turns each node off
// alone. Both leave Delta out and read the last position.
#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <ATen/Parallel.h>

#include "base/status.h"
#include "bench/bench_report.h"
#include "bench/random_components.h"
#include "models/decomposition/paper_shape.h"
#include "models/snapshot/random_snapshot.h"
#include "models/torch/ablation/torch_ablation.h"
#include "models/torch/aten.h"
#include "models/torch/uniform_numbers.h"

namespace spar::bench {
namespace {

using models::AblationRow;
using models::ComponentModule;
using models::DecoderSpec;
using models::DecomposedDecoder;
using models::Intervention;

constexpr int kTokens = 16;
// In place of the mask 0, so that the dense forward leaves nothing out.
constexpr float kDead = 1e-30f;

// g of every module, [tokens, C].
std::vector<at::Tensor> DrawImportances(
    const std::vector<ComponentModule>& modules) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> uniform;
  std::vector<at::Tensor> importances;
  for (const ComponentModule& module : modules) {
    const double share = models::PaperAliveShare(module.module.layer);
    at::Tensor g = at::zeros({kTokens, module.module.num_components});
    float* const value = g.mutable_data_ptr<float>();
    for (int64_t i = 0; i < g.numel(); ++i) {
      if (uniform(random) < share) {
        value[i] = static_cast<float>(0.2 + 0.8 * uniform(random));
      }
    }
    importances.push_back(g);
  }
  return importances;
}

std::vector<Intervention> AliveNodes(
    const std::vector<at::Tensor>& importances) {
  std::vector<Intervention> nodes;
  for (size_t m = 0; m < importances.size(); ++m) {
    const float* const g = importances[m].const_data_ptr<float>();
    const int64_t components = importances[m].size(1);
    for (int64_t i = 0; i < importances[m].numel(); ++i) {
      if (g[i] == 0) continue;
      nodes.push_back({.site = static_cast<int32_t>(m),
                       .index = static_cast<int32_t>(i % components),
                       .position = static_cast<int32_t>(i / components)});
    }
  }
  return nodes;
}

// The logits of one row by a dense pass over all subcomponents.
at::Tensor DenseRow(DecomposedDecoder& decomposed,
                    const std::vector<models::TokenId>& tokens,
                    const std::vector<at::Tensor>& importances,
                    const Intervention& off) {
  std::vector<models::ComponentMasks> masks;
  for (size_t m = 0; m < importances.size(); ++m) {
    at::Tensor values = importances[m].clamp_min(kDead);
    if (off.site == static_cast<int32_t>(m)) {
      values.select(0, off.position).select(0, off.index).fill_(kDead);
    }
    masks.push_back({.values = values, .delta = 0});
  }
  models::ComponentRun run;
  run.modules = models::MaskModules(decomposed, std::move(masks));
  run.last_only = true;
  models::SequenceBatch batch(decomposed.decoder(),
                              {models::WholeSequence(tokens)});
  return models::Logits(decomposed.decoder(),
                        models::ComponentForward(decomposed, batch, run));
}

int Main(int argc, char** argv) {
  const BenchOptions options = ParseBenchOptions(argc, argv);
  if (options.threads > 0) at::set_num_threads(options.threads);
  const auto snapshot =
      models::MakeRandomSnapshot(models::PaperTarget(), /*biases=*/false, 1);
  const models::Decoder decoder =
      models::LoadDecoder(*snapshot, at::kCPU, at::kFloat);
  DecomposedDecoder decomposed(
      decoder, RandomComponents(models::PaperModules(decoder.spec)));
  const std::vector<at::Tensor> importances =
      DrawImportances(decomposed.modules());

  models::AblationSubject subject;
  subject.model = &decoder;
  subject.decomposed = &decomposed;
  subject.importances = [&](std::span<const models::TokenId>)
      -> absl::StatusOr<std::vector<at::Tensor>> { return importances; };
  models::AblationRequest request;
  for (int i = 0; i < kTokens; ++i) request.tokens.push_back(i * 2971 % 50277);
  request.decomposition = "random";
  request.strategy = models::MaskStrategy::kCausalImportance;
  request.swept = AliveNodes(importances);
  std::shuffle(request.swept.begin(), request.swept.end(), std::mt19937(3));
  Say(base::Cat(request.swept.size(), " alive nodes of 38,912 x ", kTokens,
                ", float32, ", at::get_num_threads(), " threads"));
  if (options.quick) request.swept.resize(768);

  const auto begun = models::MakeTorchAblation(subject, request, {});
  INVARIANT(begun.ok());
  models::Ablation& sweep = **begun;
  INVARIANT(sweep.Next(1).ok());  // the run that the others differ from
  std::vector<double> sweep_rate, dense_rate, speedup;
  double difference = 0;
  const int num_rows = static_cast<int>(request.swept.size());
  for (int step = 0; step < num_rows;) {
    std::vector<AblationRow> rows;
    const double seconds = Seconds([&] {
      while (rows.size() < 256 &&
             step + static_cast<int>(rows.size()) < num_rows) {
        auto some = sweep.Next(256 - static_cast<int>(rows.size()));
        INVARIANT(some.ok());
        for (AblationRow& row : *some) rows.push_back(std::move(row));
      }
    });
    const c10::InferenceMode inference;
    at::Tensor logits;
    constexpr int kDenseRows = 3;
    const double dense_seconds = Seconds([&] {
      for (int i = 0; i < kDenseRows; ++i) {
        logits = DenseRow(decomposed, request.tokens, importances,
                          request.swept[step + i]);
        const models::TokenScore& best = rows[i].positions[0].top[0];
        difference = std::max(
            difference,
            std::abs(logits.select(1, best.token).item<double>() - best.logit));
      }
    });
    step += static_cast<int>(rows.size());
    sweep_rate.push_back(static_cast<double>(rows.size()) / seconds);
    dense_rate.push_back(kDenseRows / dense_seconds);
    speedup.push_back(sweep_rate.back() / dense_rate.back());
  }
  Report("ablate.dense_rows", Median(dense_rate), "rows/s");
  Report("ablate.sweep_rows", Median(sweep_rate), "rows/s");
  Report("ablate.difference", difference, "logits");
  Report("ablate.speedup", Median(speedup), "x");
  return 0;
}

}  // namespace
}  // namespace spar::bench

int main(int argc, char** argv) {
  return spar::bench::Main(argc, argv);
}
