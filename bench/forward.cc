// How fast rows of a GPT-2-small-shaped model are, against the machine's own
// matrix product measured in the same run, and what exact reuse gains.
//
// A plain row: 16 tokens, all units computed, logits at the last position, no
// reuse but one product per weight for the 64 rows of a batch. All ratios are
// medians over interleaved repeats.
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <ATen/Parallel.h>

#include "base/status.h"
#include "bench/bench_report.h"
#include "models/snapshot/random_snapshot.h"
#include "models/torch/aten.h"
#include "models/torch/torch_backend.h"

namespace spar::bench {
namespace {

using models::Backend;
using models::DecoderSpec;
using models::IndexSet;
using models::Prompt;
using models::Row;

constexpr int kRows = 64;
constexpr int kTokens = 16;
constexpr int kMmSize = 2048;

DecoderSpec Gpt2Small() {
  DecoderSpec spec;
  spec.num_layers = 12;
  spec.width = 768;
  spec.num_heads = 12;
  spec.num_kv_heads = 12;
  spec.head_dim = 64;
  spec.mlp_width = 3072;
  spec.vocab_size = 50257;
  spec.context_length = 1024;
  spec.tied_embeddings = true;
  return spec;
}

// Of one plain row: every weight for every token, attention over the keys that
// causality leaves, and the unembedding of one position.
double FlopsPerRow(const DecoderSpec& spec) {
  const double width = spec.width;
  const double weights =
      spec.num_layers * (4 * width * width + 2 * width * spec.mlp_width);
  const double attention =
      spec.num_layers * 2 * width * (kTokens * (kTokens + 1)) / 2.0;
  return 2 * (weights * kTokens + attention + width * spec.vocab_size);
}

std::unique_ptr<Backend> MakeBackend(
    const std::shared_ptr<const models::Snapshot>& snapshot,
    const models::ReuseOptions& reuse,
    int threads) {
  auto backend = models::MakeTorchBackend(
      snapshot, {.num_threads = threads, .reuse = reuse});
  if (!backend.ok()) {
    Say(base::Cat("backend: ", base::MessageOf(backend.status())));
    std::exit(1);
  }
  return *std::move(backend);
}

double EvaluateSeconds(Backend& backend, const std::vector<Row>& rows) {
  return Seconds([&] {
    const auto results = backend.Evaluate(rows);
    INVARIANT(results.ok());
  });
}

// The rows that are timed. Prompts differ from row to row where the question is
// the cost of a row, and are one where a search would ask about one.
class Rows {
 public:
  Rows(const Backend& backend, uint32_t seed)
      : backend_(backend), random_(seed), one_(RandomPrompt()) {}

  std::vector<Row> Plain() {
    std::vector<Row> rows;
    for (int i = 0; i < kRows; ++i) {
      rows.push_back({RandomPrompt(), AllUnits(), IndexSet::All(kTokens)});
    }
    return rows;
  }

  std::vector<Row> HeadSweep() {
    std::vector<Row> rows;
    for (const auto head :
         backend_.units().Members(models::UnitScheme::kHead)) {
      rows.push_back({one_, AllUnits(), IndexSet::All(kTokens)});
      rows.back().units.Remove(head);
    }
    return rows;
  }

  // Single deletions from a random 5 % of the units, as a pruning search asks.
  std::vector<Row> Compacted() {
    IndexSet base(backend_.units().size());
    for (int unit = 0; unit < base.universe(); ++unit) {
      if (random_() % 20 == 0) base.Insert(unit);
    }
    const std::vector<int32_t> members = base.Members();
    std::vector<Row> rows;
    for (int i = 0; i < kRows; ++i) {
      rows.push_back({RandomPrompt(), base, IndexSet::All(kTokens)});
      rows.back().units.Remove(members[random_() % members.size()]);
    }
    return rows;
  }

  std::vector<Row> FewPositions() {
    std::vector<Row> rows;
    for (int i = 0; i < kRows; ++i) {
      IndexSet positions(kTokens);
      positions.Insert(kTokens - 1);
      while (positions.Count() < 4) {
        positions.Insert(static_cast<int32_t>(random_() % kTokens));
      }
      rows.push_back({RandomPrompt(), AllUnits(), positions});
    }
    return rows;
  }

 private:
  std::shared_ptr<const Prompt> RandomPrompt() {
    Prompt prompt;
    const auto vocab = static_cast<uint32_t>(backend_.info().vocab_size);
    for (int i = 0; i < kTokens; ++i) {
      prompt.tokens.push_back(static_cast<models::TokenId>(random_() % vocab));
    }
    prompt.target = prompt.tokens.front();
    return std::make_shared<const Prompt>(std::move(prompt));
  }

  IndexSet AllUnits() const { return IndexSet::All(backend_.units().size()); }

  const Backend& backend_;
  std::mt19937 random_;
  const std::shared_ptr<const Prompt> one_;
};

int Main(int argc, char** argv) {
  const BenchOptions options = ParseBenchOptions(argc, argv);
  const DecoderSpec spec = Gpt2Small();
  const auto snapshot = models::MakeRandomSnapshot(spec, /*biases=*/true, 1);
  const std::unique_ptr<Backend> plain =
      MakeBackend(snapshot,
                  {.share_layers = false,
                   .compact_positions = false,
                   .compact_units = false,
                   .readout_only = false},
                  options.threads);
  const std::unique_ptr<Backend> reusing =
      MakeBackend(snapshot, {}, options.threads);
  Say(base::Cat("GPT-2-small shape, ", kRows, " rows of ", kTokens,
                " tokens, float32, ", at::get_num_threads(), " threads"));

  Rows rows(*plain, 1);
  const std::vector<Row> plain_rows = rows.Plain();
  const std::vector<Row> sweep = rows.HeadSweep();
  const std::vector<Row> compacted = rows.Compacted();
  const std::vector<Row> few_positions = rows.FewPositions();
  const at::Tensor a = at::rand({kMmSize, kMmSize});
  const at::Tensor b = at::rand({kMmSize, kMmSize});
  const double mm_flops = 2.0 * kMmSize * kMmSize * kMmSize;
  const double batch_flops = kRows * FlopsPerRow(spec);

  std::vector<double> mm_rate, rate, share, sweep_gain, compact_gain,
      positions_gain;
  const int repeats = options.quick ? 5 : 20;
  for (int i = -1; i < repeats; ++i) {
    const auto mm_seconds = [&] { return Seconds([&] { at::mm(a, b); }); };
    const double before = mm_seconds();
    const double seconds = EvaluateSeconds(*plain, plain_rows);
    const double mm = (before + mm_seconds()) / 2;
    const double row_rate = kRows / seconds;
    const auto gain = [&](const std::vector<Row>& some) {
      return static_cast<double>(some.size()) /
             EvaluateSeconds(*reusing, some) / row_rate;
    };
    const double gains[] = {gain(sweep), gain(compacted), gain(few_positions)};
    if (i < 0) continue;  // the first round warms up
    mm_rate.push_back(mm_flops / mm * 1e-9);
    rate.push_back(row_rate);
    share.push_back(batch_flops / seconds / (mm_flops / mm));
    sweep_gain.push_back(gains[0]);
    compact_gain.push_back(gains[1]);
    positions_gain.push_back(gains[2]);
  }
  Report("forward.mm_rate", Median(mm_rate), "GFLOP/s");
  Report("forward.plain_rows", Median(rate), "rows/s");
  Report("forward.share_of_mm", Median(share), "ratio");
  Report("forward.head_sweep_speedup", Median(sweep_gain), "x");
  Report("forward.compacted_speedup", Median(compact_gain), "x");
  Report("forward.positions_speedup", Median(positions_gain), "x");
  return 0;
}

}  // namespace
}  // namespace spar::bench

int main(int argc, char** argv) {
  return spar::bench::Main(argc, argv);
}
