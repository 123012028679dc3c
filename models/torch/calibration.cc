#include "models/torch/calibration.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <random>

#include "base/status.h"

namespace spar::models {
namespace {

constexpr int kTokens = 16;
constexpr int kBatch = 64;
constexpr int kSmallBatch = 8;  // of models whose rows take long
constexpr double kLongRowSeconds = 0.02;
constexpr int kRowsCompared = 6;
constexpr ReuseOptions kNoReuse = {.batch_rows = false,
                                   .share_layers = false,
                                   .compact_positions = false,
                                   .compact_units = false,
                                   .readout_only = false};

// Rows that share no layer. Every eighth keeps few units, so that compaction
// has its say in the noise.
std::vector<Row> RandomRows(const ModelInfo& info, const UnitTable& units) {
  std::mt19937 random(1);
  const int tokens = std::min(kTokens, info.context_length);
  Prompt prompt;
  for (int i = 0; i < tokens; ++i) {
    prompt.tokens.push_back(static_cast<TokenId>(
        random() % static_cast<uint32_t>(info.vocab_size)));
  }
  prompt.target = prompt.tokens.back();
  const auto shared = std::make_shared<const Prompt>(std::move(prompt));
  std::vector<Row> rows;
  for (int i = 0; i < kBatch; ++i) {
    const uint32_t dropped_of_100 = i % 8 == 7 ? 80 : 5;
    IndexSet kept = IndexSet::All(units.size());
    for (UnitId unit = 0; unit < units.size(); ++unit) {
      if (random() % 100 < dropped_of_100) kept.Remove(unit);
    }
    rows.push_back({.prompt = shared,
                    .units = std::move(kept),
                    .positions = IndexSet::All(tokens)});
  }
  return rows;
}

struct Timed {
  double seconds = 0;
  std::vector<RowResult> results = {};
};

// The fastest of a few runs.
absl::StatusOr<Timed> Time(const EvaluateWith& evaluate,
                           std::span<const Row> rows,
                           int repeats) {
  Timed best;
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    ASSIGN_OR_RETURN(best.results, evaluate(rows, ReuseOptions{}));
    const std::chrono::duration<double> took =
        std::chrono::steady_clock::now() - start;
    if (i == 0 || took.count() < best.seconds) best.seconds = took.count();
  }
  return best;
}

}  // namespace

absl::StatusOr<Calibration> Calibrate(const ModelInfo& info,
                                      const UnitTable& units,
                                      const EvaluateWith& evaluate) {
  const std::vector<Row> rows = RandomRows(info, units);
  const std::span<const Row> all(rows);
  ASSIGN_OR_RETURN(const Timed one, Time(evaluate, all.first(1), 4));
  const bool slow = one.seconds > kLongRowSeconds;
  const std::span<const Row> batch = all.first(slow ? kSmallBatch : kBatch);
  ASSIGN_OR_RETURN(const Timed many, Time(evaluate, batch, slow ? 1 : 2));

  Calibration calibration;
  calibration.tokens = rows[0].positions.universe();
  const double others = static_cast<double>(batch.size()) - 1;
  calibration.t1_seconds =
      std::clamp((many.seconds - one.seconds) / others, 0.0, one.seconds);
  calibration.t0_seconds = one.seconds - calibration.t1_seconds;

  double difference = 0, largest_logit = 0;
  for (const RowResult& result : many.results) {
    largest_logit =
        std::max({largest_logit, std::fabs(double{result.target_logit}),
                  std::fabs(double{result.runner_up_logit})});
  }
  // From the last, which is a sparse one.
  for (int i = 0; i < kRowsCompared; ++i) {
    const size_t index = batch.size() - 1 - i;
    const double margin = many.results[index].margin;
    for (const ReuseOptions& reuse : {ReuseOptions{}, kNoReuse}) {
      ASSIGN_OR_RETURN(const std::vector<RowResult> alone,
                       evaluate(batch.subspan(index, 1), reuse));
      difference = std::max(difference, std::fabs(alone[0].margin - margin));
    }
  }
  calibration.noise_floor = std::max(difference, 1e-7 * largest_logit);
  return calibration;
}

}  // namespace spar::models
