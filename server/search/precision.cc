// L3. precision(T): how often the full model still says the target when the
// tokens outside T are others.
#include <algorithm>
#include <cmath>
#include <utility>

#include "server/search/phases.h"

namespace spar::search {
namespace {

constexpr int kFirstChunk = 32;

}  // namespace

// Token p of replacement i is that of a reference prompt drawn for (i, p), at
// the same relative place.
Samples DrawReplacements(const Case& c, Draw draw, int count) {
  Samples replacements;
  const auto& prompts = c.subject.reference_prompts;
  const int length = c.num_tokens();
  const uint64_t seed = c.options().seed;
  for (int i = 0; i < count; ++i) {
    std::vector<models::TokenId> tokens;
    for (int p = 0; p < length; ++p) {
      const auto& from = prompts[RandomBelow(prompts.size(), seed, draw, i, p)];
      tokens.push_back(from[p * from.size() / length]);
    }
    replacements.push_back(std::move(tokens));
  }
  return replacements;
}

std::vector<models::TokenId> SampleOf(
    const std::vector<models::TokenId>& tokens,
    const models::IndexSet& positions,
    const std::vector<models::TokenId>& replacement) {
  std::vector<models::TokenId> sample = replacement;
  for (const int32_t position : positions.Members()) {
    sample[position] = tokens[position];
  }
  return sample;
}

Search<std::vector<int>> CountSaying(
    Case* c,
    std::vector<models::IndexSet> sets,
    std::shared_ptr<const Samples> replacements,
    int begin,
    int end) {
  std::vector<models::Row> rows;
  for (const models::IndexSet& set : sets) {
    for (int i = begin; i < end; ++i) {
      rows.push_back(
          c->FullRow(SampleOf(c->tokens(), set, (*replacements)[i])));
    }
  }
  CO_ASSIGN_OR_RETURN(std::vector<bool> says,
                      co_await Says(c, std::move(rows)));
  std::vector<int> counts;
  size_t next = 0;
  for (size_t set = 0; set < sets.size(); ++set) {
    int count = 0;
    for (int i = begin; i < end; ++i) count += says[next++];
    counts.push_back(count);
  }
  co_return counts;
}

Search<std::vector<bool>> ReachPrecision(
    Case* c,
    std::vector<models::IndexSet> sets,
    std::shared_ptr<const Samples> replacements,
    double threshold) {
  const int total = static_cast<int>(replacements->size());
  // The least count whose share reaches the threshold.
  int needed = 0;
  while (needed <= total && static_cast<double>(needed) / total < threshold) {
    ++needed;
  }
  std::vector<bool> reach(sets.size(), false);
  std::vector<int> counts(sets.size(), 0);
  std::vector<size_t> open;
  for (size_t i = 0; i < sets.size(); ++i) open.push_back(i);
  int chunk = kFirstChunk;
  for (int begin = 0; begin < total && !open.empty();) {
    const int end = std::min(total, begin + chunk);
    std::vector<models::IndexSet> asked;
    for (const size_t i : open) asked.push_back(sets[i]);
    CO_ASSIGN_OR_RETURN(
        std::vector<int> more,
        co_await CountSaying(c, std::move(asked), replacements, begin, end));
    std::vector<size_t> still_open;
    for (size_t j = 0; j < open.size(); ++j) {
      const size_t i = open[j];
      counts[i] += more[j];
      if (counts[i] >= needed) {
        reach[i] = true;
      } else if (counts[i] + (total - end) >= needed) {
        still_open.push_back(i);
      }
    }
    open = std::move(still_open);
    begin = end;
    chunk *= 2;
  }
  co_return reach;
}

}  // namespace spar::search
