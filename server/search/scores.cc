// L3. Scores of units from one batch of gradients: search.md §3.3.
#include <algorithm>
#include <utility>

#include "server/search/phases.h"
#include "server/search/random.h"

namespace spar::search {
namespace {

// Which order a row's gradient counts for.
enum Sampling { kRandomMasks, kNothingOn, kPath, kNumSamplings };

struct Sample {
  Sampling sampling = kRandomMasks;
  int index = 0;  // of its sampling
};

std::vector<Sample> SamplesOf(const ScoreRows& width) {
  std::vector<Sample> samples;
  for (int i = 0; i < width.random_masks; ++i) {
    samples.push_back({kRandomMasks, i});
  }
  samples.push_back({kNothingOn, 0});
  for (int i = 0; i < width.path_points; ++i) samples.push_back({kPath, i});
  return samples;
}

models::GradientRow RowOfSample(const Case& c,
                                const models::IndexSet& positions,
                                const ScoreRows& width,
                                const Sample& sample,
                                const std::vector<models::UnitId>& live) {
  std::vector<float> masks = c.MasksOf(c.NoUnits());
  const int i = sample.index;
  const double density = (i + 0.5) / width.random_masks;
  for (const models::UnitId id : live) {
    if (sample.sampling == kRandomMasks) {
      const bool on =
          RandomUnit(c.options().seed, Draw::kMasks, i, id) < density;
      masks[id] = on ? 1.0f : 0.0f;
    } else if (sample.sampling == kPath) {
      masks[id] = (i + 0.5f) / width.path_points;
    }
  }
  return c.GradientRowOf(positions, std::move(masks));
}

// Those by score, largest first, ties by their order here.
std::vector<int32_t> SortedByScore(std::vector<int32_t> units,
                                   const std::vector<double>& score) {
  std::stable_sort(units.begin(), units.end(),
                   [&](int32_t a, int32_t b) { return score[a] > score[b]; });
  return units;
}

}  // namespace

size_t GradientRowsOfARound(int num_units) {
  constexpr size_t kMasksOfARound = size_t{1} << 24;
  return std::max(size_t{1},
                  kMasksOfARound / static_cast<size_t>(std::max(1, num_units)));
}

Search<std::vector<std::vector<int32_t>>> ScoreUnits(Case* c,
                                                     models::IndexSet positions,
                                                     ScoreRows width) {
  c->phase = Phase::kScores;
  const std::vector<models::UnitId> live = c->units.Live(positions);
  const std::vector<Sample> samples = SamplesOf(width);
  const size_t round = GradientRowsOfARound(c->units.size());
  std::vector<std::vector<double>> scores(
      kNumSamplings, std::vector<double>(c->units.size(), 0.0));
  for (size_t begin = 0; begin < samples.size(); begin += round) {
    const size_t end = std::min(samples.size(), begin + round);
    std::vector<models::GradientRow> rows;
    for (size_t i = begin; i < end; ++i) {
      rows.push_back(RowOfSample(*c, positions, width, samples[i], live));
    }
    CO_ASSIGN_OR_RETURN(std::vector<models::RowGradient> gradients,
                        co_await c->oracle->Gradients(std::move(rows)));
    for (size_t i = begin; i < end; ++i) {
      std::vector<double>& score = scores[samples[i].sampling];
      const std::vector<float>& gradient = gradients[i - begin].gradient;
      for (const models::UnitId id : live) score[id] += gradient[id];
    }
  }
  std::vector<std::vector<int32_t>> orders;
  for (const std::vector<double>& score : scores) {
    orders.push_back(SortedByScore(live, score));
  }
  CO_ASSIGN_OR_RETURN(std::vector<double> importance,
                      co_await ImportanceOfUnits(c, positions));
  if (!importance.empty()) {
    orders.push_back(SortedByScore(orders.front(), importance));
  }
  co_return orders;
}

Search<std::vector<double>> PredictDrops(Case* c, Restriction at) {
  std::vector<models::GradientRow> rows;
  rows.push_back(c->GradientRowOf(at.positions, c->MasksOf(at.units)));
  CO_ASSIGN_OR_RETURN(std::vector<models::RowGradient> gradients,
                      co_await c->oracle->Gradients(std::move(rows)));
  std::vector<double> drops(gradients.front().gradient.begin(),
                            gradients.front().gradient.end());
  co_return drops;
}

}  // namespace spar::search
