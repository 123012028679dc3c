// L3. Deletion that keeps a set holding against the attack.
//
// Note [The attack decides, counterexamples predict]
// A window of deletions is judged along the predicted path as in plain
// deletion, each also by the counterexample most likely to refuse it: cheap,
// and a refusal by one is a proof. What a window removes is kept only if the
// new set then holds against every counterexample and against the attack; if
// not, the point that broke it becomes a counterexample and the window is done
// again at half the width, down to one deletion, which the attack then refuses
// by itself. So the set at every window's end holds.
#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"

#include "server/search/robust.h"

namespace spar::search {
namespace {

constexpr size_t kWidestWindow = 64;
constexpr size_t kFirstWindow = 16;

struct Item {
  Axis axis = Axis::kUnits;
  int32_t id = 0;
};

// What the passes of one shrinking share.
struct Shrinking {
  Held held = {};
  Counterexamples* counterexamples = nullptr;
  // The counterexample that refused this item last, units and positions apart.
  absl::flat_hash_map<int32_t, int> refused_by[2] = {};
  size_t width = kFirstWindow;
};

int& RefuserOf(Shrinking& s, const Item& item) {
  auto& refused_by = s.refused_by[item.axis == Axis::kUnits ? 0 : 1];
  return refused_by.try_emplace(item.id, s.counterexamples->size() - 1)
      .first->second;
}

// Units, those first that the worst point misses least; then positions.
std::vector<Item> ItemsOf(const Case& c, const Held& held) {
  const Restriction& now = held.set.restriction;
  const std::vector<float>& gradient = held.attacked.worst.gradient;
  std::vector<int32_t> units = now.units.Members();
  std::stable_sort(units.begin(), units.end(), [&](int32_t a, int32_t b) {
    return gradient[a] < gradient[b];
  });
  std::vector<Item> items;
  for (const int32_t id : units) {
    Item item;
    item.id = id;
    items.push_back(item);
  }
  for (const int32_t id : c.FreePositions(now.positions)) {
    Item item;
    item.axis = Axis::kPositions;
    item.id = id;
    items.push_back(item);
  }
  return items;
}

struct RobustPath {
  std::vector<Item> items = {};
  std::vector<Restriction> trials = {};
  std::vector<bool> predicted = {};
};

// Deletions along the path that the gradient at the worst point implies.
RobustPath PredictRobustPath(const Case& c,
                             const Held& held,
                             const std::vector<Item>& items,
                             size_t begin,
                             size_t end) {
  RobustPath path;
  Restriction implied = held.set.restriction;
  double slack = held.attacked.worst.margin - c.tau_acc;
  for (size_t i = begin; i < end; ++i) {
    const Item& item = items[i];
    Restriction trial = Without(implied, item.axis, item.id);
    bool predicted = false;
    if (item.axis == Axis::kUnits) {
      const double drop = held.attacked.worst.gradient[item.id];
      predicted = slack - drop > 0;
      if (predicted) slack -= drop;
    }
    if (predicted) implied = trial;
    path.items.push_back(item);
    path.trials.push_back(std::move(trial));
    path.predicted.push_back(predicted);
  }
  return path;
}

// GROUNDED: T must keep its precision where positions go.
Search<Nothing> RefuseByPrecision(Case* c,
                                  const RobustPath* path,
                                  std::vector<bool>* passes) {
  std::vector<size_t> asked;
  std::vector<models::IndexSet> sets;
  for (size_t i = 0; i < path->items.size(); ++i) {
    if (path->items[i].axis == Axis::kUnits || !(*passes)[i]) continue;
    asked.push_back(i);
    sets.push_back(path->trials[i].positions);
  }
  if (!c->grounded() || asked.empty()) co_return Nothing();
  CO_ASSIGN_OR_RETURN(
      std::vector<bool> reach,
      co_await ReachPrecision(c, std::move(sets), c->replacements,
                              c->options().precision_threshold));
  for (size_t i = 0; i < asked.size(); ++i) (*passes)[asked[i]] = reach[i];
  co_return Nothing();
}

// Which trials pass all that is judged before the attack.
Search<std::vector<bool>> JudgePath(Case* c,
                                    Shrinking* s,
                                    const RobustPath* path) {
  std::vector<Restriction> judged = path->trials;
  CO_ASSIGN_OR_RETURN(std::vector<Trial> trials,
                      co_await Judge(c, std::move(judged)));
  std::vector<bool> passes;
  for (const Trial& trial : trials) passes.push_back(trial.passes);
  CO_RETURN_IF_ERROR((co_await RefuseByPrecision(c, path, &passes)).status());
  if (s->counterexamples->size() == 0) co_return passes;
  std::vector<size_t> asked;
  std::vector<models::GradientRow> points;
  for (size_t i = 0; i < passes.size(); ++i) {
    if (!passes[i]) continue;
    asked.push_back(i);
    points.push_back(s->counterexamples->PointOf(
        *c, RefuserOf(*s, path->items[i]), path->trials[i]));
  }
  CO_ASSIGN_OR_RETURN(std::vector<double> margins,
                      co_await MarginsAt(c, std::move(points)));
  for (size_t i = 0; i < asked.size(); ++i) {
    passes[asked[i]] = Holds(*c, margins[i]);
  }
  co_return passes;
}

// Keeps `trial` if it holds; else says which counterexample, perhaps a new one,
// breaks it. -1: it was kept.
Search<int> TryToKeep(Case* c, Shrinking* s, Restriction trial) {
  CO_ASSIGN_OR_RETURN(Refuter refuter,
                      co_await FindRefuter(c, s->counterexamples, trial));
  if (!Holds(*c, refuter.point.margin)) co_return refuter.index;
  std::vector<Restriction> asked(1, trial);
  CO_ASSIGN_OR_RETURN(std::vector<Attacked> attacked,
                      co_await RunAttacks(c, std::move(asked), true));
  const bool holds = Holds(*c, attacked.front().worst.margin);
  c->Decide(Decision::kAttack, trial.units.Count(), holds);
  if (!holds) {
    s->counterexamples->Add(attacked.front().worst, trial.units);
    co_return s->counterexamples->size() - 1;
  }
  // Known to the judge: it passed on the way here.
  std::vector<Restriction> judged(1, trial);
  CO_ASSIGN_OR_RETURN(std::vector<Trial> trials,
                      co_await Judge(c, std::move(judged)));
  s->held.set.restriction = std::move(trial);
  s->held.set.margin = trials.front().margin;
  s->held.attacked = std::move(attacked.front());
  KeepHeld(c, s->held);
  co_return -1;
}

// One window from `begin`; where the next begins.
Search<size_t> ShrinkWindow(Case* c,
                            Shrinking* s,
                            const std::vector<Item>* items,
                            size_t begin) {
  const size_t end = std::min(items->size(), begin + s->width);
  const RobustPath path = PredictRobustPath(*c, s->held, *items, begin, end);
  CO_ASSIGN_OR_RETURN(std::vector<bool> passes,
                      co_await JudgePath(c, s, &path));
  Restriction trial = s->held.set.restriction;
  size_t used = 0;
  size_t num_deleted = 0;
  size_t last_deleted = 0;
  bool right = true;
  while (used < passes.size() && right) {
    const Item& item = path.items[used];
    c->Decide(item.axis == Axis::kUnits ? Decision::kUnit : Decision::kPosition,
              item.id, passes[used]);
    if (passes[used]) {
      trial = path.trials[used];
      last_deleted = used;
      ++num_deleted;
    }
    right = passes[used] == path.predicted[used];
    ++used;
  }
  if (num_deleted == 0) co_return begin + used;
  CO_ASSIGN_OR_RETURN(int refuter, co_await TryToKeep(c, s, std::move(trial)));
  if (refuter < 0) {
    s->width = std::min(kWidestWindow, 2 * s->width);
    co_return begin + used;
  }
  RefuserOf(*s, path.items[last_deleted]) = refuter;
  // What came after it was judged without it: it is judged again.
  if (num_deleted == 1) co_return begin + last_deleted + 1;
  s->width = std::max<size_t>(1, used / 2);
  co_return begin;
}

}  // namespace

Search<Held> ShrinkHeld(Case* c, Held start, Counterexamples* counterexamples) {
  Shrinking s;
  s.held = std::move(start);
  s.counterexamples = counterexamples;
  while (true) {
    const Restriction before = s.held.set.restriction;
    const std::vector<Item> items = ItemsOf(*c, s.held);
    size_t next = 0;
    while (next < items.size()) {
      CO_ASSIGN_OR_RETURN(next, co_await ShrinkWindow(c, &s, &items, next));
    }
    if (s.held.set.restriction == before) co_return s.held;
  }
}

}  // namespace spar::search
