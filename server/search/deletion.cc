// L3. Deletion to 1-minimality by predicted-path speculation: search.md §3.5.
//
// Note [The same set as the one-at-a-time loop]
// A window of candidates is tested at once: candidate j is deleted from the set
// that the predictions for 1..j-1 imply. Results are taken in order up to and
// with the first whose prediction was wrong; what follows it was asked about a
// set that never was, and is thrown away. So predictions cost rows, and never
// change the set. Lists that fit a window begin each pass with all single
// deletions of the present set: these are the exact drops that the predictions
// then use, and a pass in which none passes is the proof of 1-minimality.
#include <algorithm>
#include <utility>

#include "server/search/phases.h"

namespace spar::search {
namespace {

constexpr int kWindow = 64;
constexpr int kContrastWindow = 8;  // each candidate brings all controls
constexpr size_t kSmallestBlock = 16;
// Subcomponents are so many that longer lists are thinned by blocks first.
constexpr size_t kLongList = 1024;

struct Path {
  std::vector<Restriction> trials = {};
  std::vector<bool> predicted = {};
};

Decision DeletionOf(Axis axis) {
  return axis == Axis::kUnits ? Decision::kUnit : Decision::kPosition;
}

// The next candidates from `begin` on along the predicted path.
Path PredictPath(const Case& c,
                 const Verified& now,
                 const std::vector<int32_t>& items,
                 size_t begin,
                 size_t end,
                 const std::vector<double>& drops,
                 Axis axis) {
  Path path;
  Restriction implied = now.restriction;
  double margin = now.margin;
  for (size_t i = begin; i < end; ++i) {
    Restriction trial = Without(implied, axis, items[i]);
    const double drop = drops[items[i]];
    const bool predicted = margin - drop > c.required_margin;
    if (predicted) {
      implied = trial;
      margin -= drop;
    }
    path.predicted.push_back(predicted);
    path.trials.push_back(std::move(trial));
  }
  return path;
}

// One pass over the items, in order.
Search<Verified> DeletionPass(Case* c,
                              Verified now,
                              std::vector<int32_t> items,
                              Axis axis) {
  const bool contrast = c->contrast_bar > 0;
  const bool singles_first =
      axis == Axis::kPositions || (!contrast && items.size() <= kWindow);
  std::vector<double> drops(
      axis == Axis::kUnits ? c->units.size() : c->num_tokens(), 0.0);
  size_t next = 0;
  if (singles_first) {
    std::vector<Restriction> singles;
    for (const int32_t item : items) {
      singles.push_back(Without(now.restriction, axis, item));
    }
    CO_ASSIGN_OR_RETURN(std::vector<Trial> trials,
                        co_await Judge(c, std::move(singles)));
    for (size_t i = 0; i < items.size(); ++i) {
      drops[items[i]] = now.margin - trials[i].margin;
    }
    bool accepted = false;
    while (next < items.size() && !accepted) {
      accepted = trials[next].passes;
      c->Decide(DeletionOf(axis), items[next], accepted);
      if (accepted) {
        now.restriction = (Without(now.restriction, axis, items[next]));
        now.margin = trials[next].margin;
      }
      ++next;
    }
  }
  while (next < items.size()) {
    if (!singles_first) {
      CO_ASSIGN_OR_RETURN(drops, co_await PredictDrops(c, now.restriction));
    }
    const size_t width = contrast ? kContrastWindow : kWindow;
    const size_t end = std::min(items.size(), next + width);
    const Path path = PredictPath(*c, now, items, next, end, drops, axis);
    std::vector<Restriction> asked = path.trials;
    CO_ASSIGN_OR_RETURN(std::vector<Trial> trials,
                        co_await Judge(c, std::move(asked)));
    bool right = true;
    for (size_t i = 0; i < trials.size() && right; ++i) {
      c->Decide(DeletionOf(axis), items[next], trials[i].passes);
      if (trials[i].passes) {
        now.restriction = path.trials[i];
        now.margin = trials[i].margin;
      }
      right = trials[i].passes == path.predicted[i];
      ++next;
    }
    c->Keep(now.restriction, now.margin);
  }
  c->Keep(now.restriction, now.margin);
  co_return now;
}

// Deletes whole blocks of units in order, halving a block that cannot go and
// doubling after one that can. With a contrast to keep, every trial costs a row
// per control, so a large set is thinned this way before the pass that tests
// units one by one and proves 1-minimality.
Search<Verified> DeleteBlocks(Case* c,
                              Verified now,
                              std::vector<int32_t> items) {
  size_t next = 0;
  size_t width = items.size() / 2;
  while (next < items.size()) {
    const size_t end = std::min(items.size(), next + width);
    Restriction without = now.restriction;
    for (size_t i = next; i < end; ++i) without.units.Remove(items[i]);
    std::vector<Restriction> asked(1, without);
    CO_ASSIGN_OR_RETURN(std::vector<Trial> trials,
                        co_await Judge(c, std::move(asked)));
    const bool passes = trials.front().passes;
    c->Decide(Decision::kBlock, items[next], passes);
    if (passes) {
      now.restriction = std::move(without);
      now.margin = trials.front().margin;
      c->Keep(now.restriction, now.margin);
      next = end;
      width *= 2;
    } else if (width >= 2 * kSmallestBlock) {
      width /= 2;
    } else {
      next = end;
    }
  }
  co_return now;
}

std::vector<int32_t> Remaining(Restriction restriction,
                               const std::vector<int32_t>& order,
                               Axis axis) {
  std::vector<int32_t> items;
  for (const int32_t item : order) {
    if (Side(restriction, axis).Contains(item)) items.push_back(item);
  }
  return items;
}

}  // namespace

Search<Verified> Shrink(Case* c,
                        Verified start,
                        std::vector<int32_t> order,
                        Axis axis) {
  Verified now = start;
  if (axis == Axis::kUnits &&
      (c->contrast_bar > 0 || c->decomposition != nullptr)) {
    std::vector<int32_t> items = Remaining(now.restriction, order, axis);
    if (items.size() > (c->contrast_bar > 0 ? kWindow : kLongList)) {
      CO_ASSIGN_OR_RETURN(now, co_await DeleteBlocks(c, now, std::move(items)));
    }
  }
  while (true) {
    std::vector<int32_t> items = Remaining(now.restriction, order, axis);
    if (items.empty()) co_return now;
    const size_t before = items.size();
    CO_ASSIGN_OR_RETURN(now,
                        co_await DeletionPass(c, now, std::move(items), axis));
    if (Remaining(now.restriction, order, axis).size() == before) {
      co_return now;
    }
  }
}

}  // namespace spar::search
