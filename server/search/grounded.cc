// L3. T of grounded mode: the smallest set found that keeps the full model's
// prediction when the other tokens change, and is sufficient. search.md §3.11.
#include <algorithm>
#include <utility>

#include "server/search/phases.h"

namespace spar::search {
namespace {

constexpr int kScoreSamples = 32;
constexpr int kSearchSamples = 64;
constexpr int kHeldOutSamples = 256;

// Positions that may be deleted, most important first: those without which the
// full model says the target least often; then the restricted margin decides.
Search<std::vector<int32_t>> RankPositions(Case* c) {
  const std::vector<int32_t> free = c->FreePositions(c->AllPositions());
  std::vector<models::IndexSet> sets;
  std::vector<Restriction> restrictions;
  Restriction everything;
  everything.units = c->AllUnits();
  everything.positions = c->AllPositions();
  for (const int32_t position : free) {
    restrictions.push_back(Without(everything, Axis::kPositions, position));
    sets.push_back(restrictions.back().positions);
  }
  auto samples = std::make_shared<const Samples>(
      DrawReplacements(*c, Draw::kSearchSamples, kScoreSamples));
  CO_ASSIGN_OR_RETURN(
      std::vector<int> counts,
      co_await CountSaying(c, std::move(sets), samples, 0, kScoreSamples));
  CO_ASSIGN_OR_RETURN(
      std::vector<Trial> trials,
      co_await Judge(c, std::move(restrictions), schedule::Sharing::kApart));
  std::vector<size_t> indices;
  for (size_t i = 0; i < free.size(); ++i) indices.push_back(i);
  std::stable_sort(indices.begin(), indices.end(), [&](size_t a, size_t b) {
    if (counts[a] != counts[b]) return counts[a] < counts[b];
    return trials[a].margin < trials[b].margin;
  });
  std::vector<int32_t> ranked;
  for (const size_t index : indices) ranked.push_back(free[index]);
  co_return ranked;
}

// Of restrictions with the same S: which pass the margin and the precision.
Search<std::vector<bool>> JudgeGrounded(
    Case* c,
    std::vector<Restriction> restrictions,
    std::shared_ptr<const Samples> samples) {
  std::vector<Restriction> asked = restrictions;
  CO_ASSIGN_OR_RETURN(std::vector<Trial> trials,
                      co_await Judge(c, std::move(asked)));
  std::vector<models::IndexSet> sets;
  for (size_t i = 0; i < trials.size(); ++i) {
    if (trials[i].margin > c->required_margin) {
      sets.push_back(restrictions[i].positions);
    }
  }
  CO_ASSIGN_OR_RETURN(
      std::vector<bool> reach,
      co_await ReachPrecision(c, std::move(sets), samples,
                              c->options().precision_threshold));
  std::vector<bool> passes;
  size_t next = 0;
  for (const Trial& trial : trials) {
    passes.push_back(trial.margin > c->required_margin && reach[next++]);
  }
  co_return passes;
}

// The shortest passing prefix of the ranking, by powers of two and bisection.
Search<int> ShortestPrefix(Case* c,
                           std::vector<int32_t> ranked,
                           std::shared_ptr<const Samples> samples) {
  Restriction base;
  base.units = c->AllUnits();
  base.positions = c->FixedPositions();
  const int largest = static_cast<int>(ranked.size());
  std::vector<int> sizes;
  sizes.push_back(0);
  for (int size = 1; size < largest; size *= 2) sizes.push_back(size);
  int low = -1;
  int high = largest;  // everything passes
  while (!sizes.empty()) {
    std::vector<Restriction> restrictions;
    for (const int size : sizes) {
      Restriction restriction = base;
      for (int i = 0; i < size; ++i) {
        restriction.positions.Insert(ranked[i]);
      }
      restrictions.push_back(std::move(restriction));
    }
    CO_ASSIGN_OR_RETURN(
        std::vector<bool> passes,
        co_await JudgeGrounded(c, std::move(restrictions), samples));
    for (size_t i = 0; i < sizes.size(); ++i) {
      c->Decide(Decision::kPrefix, sizes[i], passes[i]);
      if (passes[i]) {
        high = sizes[i];
        break;
      }
      low = sizes[i];
    }
    sizes.clear();
    const int inside = high - low - 1;
    for (int i = 1; i <= std::min(inside, 3); ++i) {
      sizes.push_back(low + (inside + 1) * i / (std::min(inside, 3) + 1));
    }
  }
  co_return high;
}

// Single deletions that pass on `samples`, one accepted at a time, until none
// does. Appends what was removed to `trail`.
Search<Verified> ShrinkOnSamples(Case* c,
                                 Verified start,
                                 std::vector<int32_t> order,
                                 std::shared_ptr<const Samples> samples,
                                 std::vector<int32_t>* trail) {
  Verified now = start;
  while (true) {
    std::vector<int32_t> items;
    std::vector<Restriction> trials;
    for (const int32_t item : order) {
      if (!now.restriction.positions.Contains(item)) continue;
      items.push_back(item);
      trials.push_back(Without(now.restriction, Axis::kPositions, item));
    }
    std::vector<Restriction> asked = trials;
    CO_ASSIGN_OR_RETURN(std::vector<bool> passes,
                        co_await JudgeGrounded(c, std::move(asked), samples));
    size_t first = 0;
    while (first < items.size() && !passes[first]) {
      c->Decide(Decision::kPosition, items[first], false);
      ++first;
    }
    if (first == items.size()) co_return now;
    c->Decide(Decision::kPosition, items[first], true);
    now.restriction = trials[first];
    trail->push_back(items[first]);
  }
}

}  // namespace

Search<Verified> GroundPositions(Case* c) {
  c->phase = Phase::kPositions;
  c->replacements = std::make_shared<const Samples>(
      DrawReplacements(*c, Draw::kHeldOutSamples, kHeldOutSamples));
  auto samples = std::make_shared<const Samples>(
      DrawReplacements(*c, Draw::kSearchSamples, kSearchSamples));
  CO_ASSIGN_OR_RETURN(std::vector<int32_t> ranked, co_await RankPositions(c));
  CO_ASSIGN_OR_RETURN(int size, co_await ShortestPrefix(c, ranked, samples));

  Verified now;
  now.restriction.units = c->AllUnits();
  now.restriction.positions = c->FixedPositions();
  std::vector<int32_t> kept(ranked.begin(), ranked.begin() + size);
  for (const int32_t t : kept) now.restriction.positions.Insert(t);
  std::vector<int32_t> trail(ranked.rbegin(), ranked.rend() - size);
  std::reverse(kept.begin(), kept.end());
  CO_ASSIGN_OR_RETURN(now,
                      co_await ShrinkOnSamples(c, now, kept, samples, &trail));

  // The held-out sample decides: one step back wherever it refuses.
  while (!trail.empty()) {
    std::vector<Restriction> one(1, now.restriction);
    CO_ASSIGN_OR_RETURN(
        std::vector<bool> passes,
        co_await JudgeGrounded(c, std::move(one), c->replacements));
    c->Decide(Decision::kHeldOut, now.restriction.positions.Count(),
              passes.front());
    if (passes.front()) break;
    now.restriction.positions.Insert(trail.back());
    trail.pop_back();
  }
  std::vector<int32_t> order(ranked.rbegin(), ranked.rend());
  CO_ASSIGN_OR_RETURN(
      now, co_await ShrinkOnSamples(c, now, order, c->replacements, &trail));
  std::vector<Restriction> last(1, now.restriction);
  CO_ASSIGN_OR_RETURN(std::vector<Trial> trials,
                      co_await Judge(c, std::move(last)));
  now.margin = trials.front().margin;
  c->Keep(now.restriction, now.margin);
  co_return now;
}

Search<Verified> ShrinkGroundedPositions(Case* c, Verified start) {
  c->phase = Phase::kPositionsGivenUnits;
  std::vector<int32_t> order = c->FreePositions(start.restriction.positions);
  // Contrast is a matter of S: a smaller T may ask for a larger S.
  const double contrast_bar = c->contrast_bar;
  c->contrast_bar = 0;
  std::vector<int32_t> trail;
  Search<Verified> shrink =
      ShrinkOnSamples(c, start, std::move(order), c->replacements, &trail);
  absl::StatusOr<Verified> shrunk = co_await std::move(shrink);
  c->contrast_bar = contrast_bar;
  if (!shrunk.ok()) co_return shrunk.status();
  if (shrunk->restriction == start.restriction) co_return start;
  std::vector<Restriction> last(1, shrunk->restriction);
  CO_ASSIGN_OR_RETURN(std::vector<Trial> trials,
                      co_await Judge(c, std::move(last)));
  shrunk->margin = trials.front().margin;
  c->Keep(shrunk->restriction, shrunk->margin);
  co_return *std::move(shrunk);
}

}  // namespace spar::search
