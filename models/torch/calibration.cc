#include "models/torch/calibration.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <random>

#include "base/status.h"
#include "models/unit_table.h"

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

std::shared_ptr<Prompt> RandomPrompt(std::mt19937& random,
                                     const ModelInfo& info) {
  const int tokens = std::min(kTokens, info.context_length);
  auto prompt = std::make_shared<Prompt>();
  for (int i = 0; i < tokens; ++i) {
    prompt->tokens.push_back(static_cast<TokenId>(
        random() % static_cast<uint32_t>(info.vocab_size)));
  }
  prompt->target = prompt->tokens.back();
  return prompt;
}

// Rows that share no layer. Every eighth keeps few units, so that compaction
// has its say in the noise.
std::vector<Row> RandomRows(const ModelInfo& info, const UnitTable& units) {
  std::mt19937 random(1);
  const std::shared_ptr<const Prompt> shared = RandomPrompt(random, info);
  std::vector<Row> rows;
  for (int i = 0; i < kBatch; ++i) {
    const uint32_t dropped_of_100 = i % 8 == 7 ? 80 : 5;
    IndexSet kept = IndexSet::All(units.size());
    for (UnitId unit = 0; unit < units.size(); ++unit) {
      if (random() % 100 < dropped_of_100) kept.Remove(unit);
    }
    rows.push_back(
        {.prompt = shared,
         .units = std::move(kept),
         .positions = IndexSet::All(static_cast<int>(shared->tokens.size()))});
  }
  return rows;
}

// Rows of both spaces, from few subcomponents to nearly all, with Delta and
// without. Modules that keep nearly all keep their Delta, as in searches.
std::vector<Row> RandomRows(const ModelInfo& info,
                            const DecompositionInfo& decomposition) {
  std::mt19937 random(1);
  const std::shared_ptr<const Prompt> plain = RandomPrompt(random, info);
  std::vector<Row> rows;
  for (const UnitSpace space : {UnitSpace::kSubcomponents, UnitSpace::kNodes}) {
    auto prompt = std::make_shared<Prompt>(*plain);
    prompt->space = space;
    prompt->decomposition = decomposition.name;
    const int length = static_cast<int>(prompt->tokens.size());
    const UnitTable units = MakeUnitTable(decomposition.spec, space, length);
    for (const uint32_t kept_of_1000 : {10, 200, 990}) {
      for (const bool delta : {false, true}) {
        IndexSet kept(units.size());
        for (UnitId unit = 0; unit < units.size(); ++unit) {
          if (random() % 1000 < kept_of_1000) kept.Insert(unit);
        }
        for (const UnitId unit :
             units.Members(space == UnitSpace::kNodes
                               ? UnitScheme::kNodeAndDelta
                               : UnitScheme::kSubcomponentAndDelta)) {
          if (units.At(unit).kind != UnitKind::kDelta) continue;
          if (delta || kept_of_1000 > 500) {
            kept.Insert(unit);
          } else {
            kept.Remove(unit);
          }
        }
        rows.push_back({.prompt = prompt,
                        .units = std::move(kept),
                        .positions = IndexSet::All(length)});
      }
    }
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

// The largest difference between margins in the batch `rows` and those of the
// `compared` alone, with reuse and without.
absl::StatusOr<double> NoiseOf(std::span<const Row> rows,
                               const std::vector<RowResult>& together,
                               const std::vector<int>& compared,
                               const EvaluateWith& evaluate) {
  double difference = 0, largest_logit = 0;
  for (const RowResult& result : together) {
    largest_logit =
        std::max({largest_logit, std::fabs(double{result.target_logit}),
                  std::fabs(double{result.runner_up_logit})});
  }
  for (const int index : compared) {
    const double margin = together[index].margin;
    for (const ReuseOptions& reuse : {ReuseOptions{}, kNoReuse}) {
      ASSIGN_OR_RETURN(const std::vector<RowResult> alone,
                       evaluate(rows.subspan(index, 1), reuse));
      difference = std::max(difference, std::fabs(alone[0].margin - margin));
    }
  }
  return std::max(difference, 1e-7 * largest_logit);
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

  // The last ones, for a sparse one is among them.
  std::vector<int> compared;
  for (int i = 0; i < kRowsCompared; ++i) {
    compared.push_back(static_cast<int>(batch.size()) - 1 - i);
  }
  ASSIGN_OR_RETURN(calibration.noise_floor,
                   NoiseOf(batch, many.results, compared, evaluate));
  return calibration;
}

absl::StatusOr<double> MeasureNoise(const ModelInfo& info,
                                    const DecompositionInfo& decomposition,
                                    const EvaluateWith& evaluate) {
  const std::vector<Row> rows = RandomRows(info, decomposition);
  ASSIGN_OR_RETURN(const std::vector<RowResult> together,
                   evaluate(rows, ReuseOptions{}));
  // Of each space and density one, with and without Delta.
  const std::vector<int> compared = {0, 3, 5, 6, 9, 11};
  return NoiseOf(rows, together, compared, evaluate);
}

}  // namespace spar::models
