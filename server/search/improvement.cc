// L3. Smaller sets while budget is left: search.md §3.5.
//
// Add-and-prune: one unit in, two out. And restarts: 1-minimality depends on
// the order of deletion, so the other orders' prefixes are pruned too.
#include <algorithm>
#include <utility>

#include "server/search/phases.h"

namespace spar::search {
namespace {

constexpr size_t kTrials = 64;    // of one round
constexpr size_t kMaxPairs = 16;  // of units taken out together
constexpr int kMaxRestart = 16;   // units that a restart may begin with

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

// Units outside S that can matter, by predicted gain, most first; as many as a
// round can try.
std::vector<int32_t> BestOutside(const Case& c,
                                 const Restriction& now,
                                 const std::vector<double>& drops) {
  std::vector<int32_t> outside;
  for (const models::UnitId id : c.units.Live(now.positions)) {
    if (!now.units.Contains(id)) outside.push_back(id);
  }
  const size_t count = std::min(outside.size(), kTrials);
  std::partial_sort(outside.begin(),
                    outside.begin() + static_cast<std::ptrdiff_t>(count),
                    outside.end(), [&](int32_t a, int32_t b) {
                      return drops[a] != drops[b] ? drops[a] > drops[b] : a < b;
                    });
  outside.resize(count);
  return outside;
}

bool SmallEnough(const Case& c, const Verified& now) {
  // One unit is the least there can be: without any, it did not pass.
  return now.restriction.units.Count() <= std::max(1, c.options().target_units);
}

// One round of add-and-prune: the set it was given when nothing passes.
Search<Verified> AddAndPrune(Case* c, Verified now) {
  CO_ASSIGN_OR_RETURN(std::vector<double> drops,
                      co_await PredictDrops(c, now.restriction));
  const std::vector<Pair> pairs =
      LeastPairs(now.restriction.units.Members(), drops);
  const std::vector<int32_t> outside = BestOutside(*c, now.restriction, drops);
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
  while (passing < outcomes.size() && !outcomes[passing].passes) {
    c->Decide(Decision::kSwap, static_cast<int>(passing), false);
    ++passing;
  }
  if (passing == outcomes.size()) co_return now;
  c->Decide(Decision::kSwap, static_cast<int>(passing), true);
  now.restriction = trials[passing];
  now.margin = outcomes[passing].margin;
  c->Keep(now.restriction, now.margin);
  co_return co_await ShrinkUnits(c, now);
}

// What another order comes to at the same T.
Search<std::optional<Verified>> PruneFrom(Case* c,
                                          Restriction base,
                                          std::vector<int32_t> order) {
  std::vector<std::vector<int32_t>> orders(1, order);
  CO_ASSIGN_OR_RETURN(
      std::optional<Prefix> prefix,
      co_await FindPrefix(c, base, std::move(orders), Axis::kUnits));
  if (!prefix.has_value() || prefix->size > kMaxRestart) co_return std::nullopt;
  CO_ASSIGN_OR_RETURN(Verified pruned, co_await ShrinkPrefix(c, base, *prefix,
                                                             std::move(order)));
  co_return pruned;
}

// The smaller of the set and what an order comes to.
Search<Verified> Restart(Case* c, Verified now, int order) {
  Restriction base;
  base.units = c->NoUnits();
  base.positions = now.restriction.positions;
  c->trying = true;
  absl::StatusOr<std::optional<Verified>> other =
      co_await PruneFrom(c, base, c->orders[order]);
  c->trying = false;
  c->phase = Phase::kImprovement;
  if (!other.ok()) co_return other.status();
  const bool smaller =
      other->has_value() &&
      (*other)->restriction.units.Count() < now.restriction.units.Count();
  c->Decide(Decision::kRestart, order, smaller);
  if (!smaller) co_return now;
  c->Keep((*other)->restriction, (*other)->margin);
  co_return **other;
}

}  // namespace

Search<Verified> Improve(Case* c, Verified start) {
  c->phase = Phase::kImprovement;
  Verified now = start;
  const int num_orders = static_cast<int>(c->orders.size());
  int next_order = 0;
  bool exchange = true;  // until it fails on this set
  for (int round = 0; round < c->options().improvement_rounds; ++round) {
    if (SmallEnough(*c, now)) co_return now;
    if (!exchange && next_order == num_orders) co_return now;
    const int size = now.restriction.units.Count();
    if (exchange) {
      CO_ASSIGN_OR_RETURN(now, co_await AddAndPrune(c, now));
    } else {
      CO_ASSIGN_OR_RETURN(now, co_await Restart(c, now, next_order++));
    }
    c->phase = Phase::kImprovement;
    exchange = now.restriction.units.Count() < size;
  }
  co_return now;
}

}  // namespace spar::search
