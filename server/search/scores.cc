// L3. Scores of units from one batch of gradients: search.md §3.3.
#include <algorithm>
#include <utility>

#include "server/search/phases.h"
#include "server/search/random.h"

namespace spar::search {
namespace {

models::GradientRow RowAt(const Case& c,
                          const models::IndexSet& positions,
                          std::vector<float> masks) {
  models::GradientRow row;
  row.prompt = c.prompt;
  row.masks = std::move(masks);
  row.positions = positions;
  return row;
}

// Candidates by the sum of gradients [begin, end), largest first, ties by id.
std::vector<int32_t> OrderBy(const Case& c,
                             const std::vector<models::RowGradient>& gradients,
                             int begin,
                             int end) {
  std::vector<double> score(c.subject.units->size(), 0.0);
  for (int row = begin; row < end; ++row) {
    for (const models::UnitId id : c.candidates) {
      score[id] += gradients[row].gradient[id];
    }
  }
  std::vector<int32_t> order = c.candidates;
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return score[a] > score[b]; });
  return order;
}

}  // namespace

Search<std::vector<std::vector<int32_t>>> ScoreUnits(Case* c,
                                                     models::IndexSet positions,
                                                     ScoreRows width) {
  c->phase = Phase::kScores;
  const uint64_t seed = c->options().seed;
  const models::IndexSet none(c->subject.units->size());
  std::vector<models::GradientRow> rows;
  for (int i = 0; i < width.random_masks; ++i) {
    const double density = (i + 0.5) / width.random_masks;
    std::vector<float> masks = c->MasksOf(none);
    for (const models::UnitId id : c->candidates) {
      const bool on = RandomUnit(seed, Draw::kMasks, i, id) < density;
      masks[id] = on ? 1.0f : 0.0f;
    }
    rows.push_back(RowAt(*c, positions, std::move(masks)));
  }
  rows.push_back(RowAt(*c, positions, c->MasksOf(none)));
  for (int i = 0; i < width.path_points; ++i) {
    std::vector<float> masks = c->MasksOf(none);
    for (const models::UnitId id : c->candidates) {
      masks[id] = (i + 0.5f) / width.path_points;
    }
    rows.push_back(RowAt(*c, positions, std::move(masks)));
  }
  CO_ASSIGN_OR_RETURN(std::vector<models::RowGradient> gradients,
                      co_await c->oracle->Gradients(std::move(rows)));
  const int num_rows = static_cast<int>(gradients.size());
  std::vector<std::vector<int32_t>> orders;
  orders.push_back(OrderBy(*c, gradients, 0, width.random_masks));
  orders.push_back(
      OrderBy(*c, gradients, width.random_masks, width.random_masks + 1));
  orders.push_back(OrderBy(*c, gradients, width.random_masks + 1, num_rows));
  co_return orders;
}

Search<std::vector<double>> PredictDrops(Case* c, Restriction at) {
  std::vector<models::GradientRow> rows;
  rows.push_back(RowAt(*c, at.positions, c->MasksOf(at.units)));
  CO_ASSIGN_OR_RETURN(std::vector<models::RowGradient> gradients,
                      co_await c->oracle->Gradients(std::move(rows)));
  std::vector<double> drops(gradients.front().gradient.begin(),
                            gradients.front().gradient.end());
  co_return drops;
}

}  // namespace spar::search
