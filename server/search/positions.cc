// L3. T without samples: leave-one-out, add-one-in, prefix, deletion.
#include <algorithm>
#include <utility>

#include "server/search/phases.h"

namespace spar::search {
namespace {

// `items` by `keys`, ascending, stable.
std::vector<int32_t> SortedBy(const std::vector<int32_t>& items,
                              const std::vector<double>& keys) {
  std::vector<size_t> indices(items.size());
  for (size_t i = 0; i < indices.size(); ++i) indices[i] = i;
  std::stable_sort(indices.begin(), indices.end(),
                   [&](size_t a, size_t b) { return keys[a] < keys[b]; });
  std::vector<int32_t> sorted;
  for (const size_t index : indices) sorted.push_back(items[index]);
  return sorted;
}

}  // namespace

Search<Verified> FindPositions(Case* c) {
  c->phase = Phase::kPositions;
  const std::vector<int32_t> free = c->FreePositions(c->AllPositions());
  Restriction base;
  base.units = c->AllUnits();
  base.positions = c->FixedPositions();

  std::vector<Restriction> added;
  added.push_back(base);
  for (const int32_t t : free) {
    added.push_back(With(base, Axis::kPositions, t));
  }
  std::vector<Restriction> asked = added;
  CO_ASSIGN_OR_RETURN(
      std::vector<Trial> trials,
      co_await Judge(c, std::move(asked), schedule::Sharing::kApart));
  // The fixed positions alone, or with one more: nothing smaller can pass.
  size_t best = 0;
  c->Decide(Decision::kAdded, -1, trials[0].passes);
  for (size_t i = 1; i < trials.size() && !trials[0].passes; ++i) {
    c->Decide(Decision::kAdded, free[i - 1], trials[i].passes);
    if (!trials[i].passes) continue;
    if (best == 0 || trials[i].margin > trials[best].margin) best = i;
  }
  if (trials[best].passes) {
    Verified found;
    found.restriction = added[best];
    found.margin = trials[best].margin;
    c->Keep(found.restriction, found.margin);
    co_return found;
  }

  Restriction everything = base;
  everything.positions = c->AllPositions();
  std::vector<Restriction> removed;
  for (const int32_t t : free) {
    removed.push_back(Without(everything, Axis::kPositions, t));
  }
  CO_ASSIGN_OR_RETURN(
      std::vector<Trial> without,
      co_await Judge(c, std::move(removed), schedule::Sharing::kApart));
  std::vector<double> left;
  std::vector<double> gained;
  for (size_t i = 0; i < free.size(); ++i) {
    left.push_back(without[i].margin);
    gained.push_back(-trials[i + 1].margin);
  }
  std::vector<std::vector<int32_t>> orders;
  orders.push_back(SortedBy(free, left));
  orders.push_back(SortedBy(free, gained));
  const std::vector<std::vector<int32_t>> kept_orders = orders;
  CO_ASSIGN_OR_RETURN(
      std::optional<Prefix> prefix,
      co_await FindPrefix(c, base, std::move(orders), Axis::kPositions));
  Verified found;
  found.restriction = everything;
  found.margin = c->margin_full;
  std::vector<int32_t> order = kept_orders[0];
  if (prefix.has_value()) {
    order = kept_orders[prefix->order];
    order.resize(prefix->size);
    found.restriction = base;
    for (const int32_t t : order) found.restriction.positions.Insert(t);
    found.margin = prefix->margin;
    c->Keep(found.restriction, found.margin);
  }
  std::reverse(order.begin(), order.end());
  co_return co_await Shrink(c, found, std::move(order), Axis::kPositions);
}

Search<Verified> ShrinkPositions(Case* c, Verified start) {
  c->phase = Phase::kPositionsGivenUnits;
  std::vector<int32_t> order = c->FreePositions(start.restriction.positions);
  co_return co_await Shrink(c, start, std::move(order), Axis::kPositions);
}

}  // namespace spar::search
