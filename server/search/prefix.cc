// L3. Prefix search over several orders at once: search.md §3.4.
//
// Sizes 0, 1, 2, 4, ..., the small ones in the first round and the others,
// where none of those passes, in the next: rows inside few units cost little,
// and most boundaries lie there. Then the gap below the smallest passing size
// is split until it is closed. Several orders share the rounds, so the
// portfolio costs rows, not rounds. The widths are constants: a width that
// followed the machine would let the machine choose the answer.
#include <algorithm>
#include <utility>

#include "server/search/phases.h"

namespace spar::search {
namespace {

constexpr int kProbes = 15;     // per order and round
constexpr int kSmallSize = 64;  // the largest of the first round

struct Gap {
  int order = 0;
  int low = -1;   // fails; -1: nothing smaller was tried
  int high = -1;  // passes; -1: none found
  double margin = 0;
};

struct Probe {
  size_t gap = 0;
  int size = 0;
};

Restriction PrefixOf(const Restriction& base,
                     const std::vector<int32_t>& order,
                     int size,
                     Axis axis) {
  Restriction restriction = base;
  for (int i = 0; i < size; ++i) Side(restriction, axis).Insert(order[i]);
  return restriction;
}

// Gaps that can still hold a shorter prefix than the best known.
std::vector<Gap> StillOpen(std::vector<Gap> gaps) {
  int best = -1;
  for (const Gap& gap : gaps) {
    if (gap.high >= 0 && (best < 0 || gap.high < best)) best = gap.high;
  }
  std::erase_if(gaps, [best](const Gap& gap) {
    return gap.high < 0 || (gap.low + 1 >= best && gap.high > best);
  });
  return gaps;
}

// Powers of two in (above, limit], and what is at the ends.
std::vector<Probe> DoublingProbes(const std::vector<Gap>& gaps,
                                  int above,
                                  int limit,
                                  int largest) {
  std::vector<int> sizes;
  for (int size = 1; size < largest && size <= limit; size *= 2) {
    if (size > above) sizes.push_back(size);
  }
  if (largest > above && largest <= limit) sizes.push_back(largest);
  std::vector<Probe> probes;
  for (size_t gap = 0; gap < gaps.size(); ++gap) {
    if (gap == 0 && above == 0) {
      probes.push_back(Probe{});  // size 0 is the same for all orders
    }
    for (const int size : sizes) {
      Probe probe;
      probe.gap = gap;
      probe.size = size;
      probes.push_back(probe);
    }
  }
  return probes;
}

std::vector<Probe> SplitProbes(const std::vector<Gap>& gaps) {
  std::vector<Probe> probes;
  for (size_t index = 0; index < gaps.size(); ++index) {
    const Gap& gap = gaps[index];
    const int inside = gap.high - gap.low - 1;
    const int count = std::min(inside, kProbes);
    for (int i = 1; i <= count; ++i) {
      Probe probe;
      probe.gap = index;
      probe.size =
          gap.low + static_cast<int>(int64_t{inside + 1} * i / (count + 1));
      probes.push_back(probe);
    }
  }
  return probes;
}

}  // namespace

Search<std::optional<Prefix>> FindPrefix(
    Case* c,
    Restriction base,
    std::vector<std::vector<int32_t>> orders,
    Axis axis) {
  std::vector<Gap> gaps;
  for (size_t order = 0; order < orders.size(); ++order) {
    Gap gap;
    gap.order = static_cast<int>(order);
    gaps.push_back(gap);
  }
  const int largest = static_cast<int>(orders.front().size());
  int limit = std::min(kSmallSize, largest);
  std::vector<Probe> probes = DoublingProbes(gaps, 0, limit, largest);
  while (!probes.empty()) {
    std::vector<Restriction> restrictions;
    for (const Probe& probe : probes) {
      restrictions.push_back(
          PrefixOf(base, orders[gaps[probe.gap].order], probe.size, axis));
    }
    CO_ASSIGN_OR_RETURN(std::vector<Trial> trials,
                        co_await Judge(c, std::move(restrictions)));
    if (probes.front().size == 0 && trials.front().passes) {
      c->Decide(Decision::kPrefix, 0, true);
      Prefix nothing;
      nothing.margin = trials.front().margin;
      co_return nothing;
    }
    // Probes of a gap ascend; the first that passes closes it from above.
    std::vector<bool> closed(gaps.size(), false);
    for (size_t i = 0; i < probes.size(); ++i) {
      Gap& gap = gaps[probes[i].gap];
      if (closed[probes[i].gap]) continue;
      c->Decide(Decision::kPrefix, probes[i].size, trials[i].passes);
      if (trials[i].passes) {
        gap.high = probes[i].size;
        gap.margin = trials[i].margin;
        closed[probes[i].gap] = true;
      } else {
        gap.low = probes[i].size;
      }
    }
    for (Gap& gap : gaps) gap.low = std::max(gap.low, 0);
    const bool none_passed = std::all_of(
        gaps.begin(), gaps.end(), [](const Gap& gap) { return gap.high < 0; });
    if (none_passed && limit < largest) {
      probes = DoublingProbes(gaps, limit, largest, largest);
      limit = largest;
      continue;
    }
    gaps = StillOpen(std::move(gaps));
    probes = SplitProbes(gaps);
  }
  if (gaps.empty()) co_return std::nullopt;
  const Gap* best = &gaps.front();
  for (const Gap& gap : gaps) {
    if (gap.high < best->high) best = &gap;
  }
  Prefix found;
  found.order = best->order;
  found.size = best->high;
  found.margin = best->margin;
  co_return found;
}

}  // namespace spar::search
