// L3. Add-and-prune: one unit in, two out: search.md §3.5.
#include <algorithm>
#include <utility>

#include "server/search/phases.h"

namespace spar::search {
namespace {

constexpr size_t kTrials = 64;    // of one round
constexpr size_t kMaxPairs = 16;  // of units taken out together

struct Pair {
  int32_t first = 0;
  int32_t second = 0;
};

// Pairs of S by predicted loss, least first.
std::vector<Pair> LeastPairs(std::vector<int32_t> inside,
                             const std::vector<double>& drops) {
  std::stable_sort(inside.begin(), inside.end(),
                   [&](int32_t a, int32_t b) { return drops[a] < drops[b]; });
  // Pairs (i, j) of the first few, those with small i + j first.
  std::vector<Pair> pairs;
  const size_t count = inside.size();
  for (size_t sum = 1; sum < 2 * count && pairs.size() < kMaxPairs; ++sum) {
    for (size_t i = 0; 2 * i < sum && pairs.size() < kMaxPairs; ++i) {
      const size_t j = sum - i;
      if (j >= count) continue;
      Pair pair;
      pair.first = inside[i];
      pair.second = inside[j];
      pairs.push_back(pair);
    }
  }
  return pairs;
}

// Candidates outside S by predicted gain, most first.
std::vector<int32_t> BestOutside(const Case& c,
                                 const models::IndexSet& units,
                                 const std::vector<double>& drops) {
  std::vector<int32_t> outside;
  for (const models::UnitId id : c.candidates) {
    if (!units.Contains(id)) outside.push_back(id);
  }
  std::stable_sort(outside.begin(), outside.end(),
                   [&](int32_t a, int32_t b) { return drops[a] > drops[b]; });
  return outside;
}

}  // namespace

Search<Verified> Improve(Case* c, Verified start) {
  c->phase = Phase::kImprovement;
  Verified now = start;
  for (int round = 0; round < c->options().improvement_rounds; ++round) {
    const int size = now.restriction.units.Count();
    // One unit is the least there can be: without any, it did not pass.
    if (size <= std::max(1, c->options().target_units)) co_return now;
    CO_ASSIGN_OR_RETURN(std::vector<double> drops,
                        co_await PredictDrops(c, now.restriction));
    const std::vector<Pair> pairs =
        LeastPairs(now.restriction.units.Members(), drops);
    const std::vector<int32_t> outside =
        BestOutside(*c, now.restriction.units, drops);
    std::vector<Restriction> trials;
    for (size_t i = 0; i < outside.size() && trials.size() < kTrials; ++i) {
      for (const Pair& pair : pairs) {
        Restriction trial = With(now.restriction, Axis::kUnits, outside[i]);
        trial.units.Remove(pair.first);
        trial.units.Remove(pair.second);
        if (trials.size() < kTrials) trials.push_back(std::move(trial));
      }
    }
    std::vector<Restriction> asked = trials;
    CO_ASSIGN_OR_RETURN(std::vector<Trial> outcomes,
                        co_await Judge(c, std::move(asked)));
    size_t passing = 0;
    while (passing < outcomes.size() && !outcomes[passing].passes) ++passing;
    if (passing == outcomes.size()) co_return now;
    now.restriction = trials[passing];
    now.margin = outcomes[passing].margin;
    c->Keep(now.restriction, now.margin);
    CO_ASSIGN_OR_RETURN(now, co_await ShrinkUnits(c, now));
    c->phase = Phase::kImprovement;
  }
  co_return now;
}

}  // namespace spar::search
