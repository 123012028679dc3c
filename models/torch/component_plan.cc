#include "models/torch/component_plan.h"

#include <algorithm>
#include <bit>
#include <map>
#include <tuple>
#include <utility>

namespace spar::models {
namespace {

constexpr int64_t kBytesPerNumber = 4;

// Units at any position of any row.
struct PlannedGroup {
  ReferenceKind reference = ReferenceKind::kZero;
  std::vector<int> rows = {};
  IndexSet kept = {};
  IndexSet lacking = {};
  int64_t tokens = 0;
  double cost_per_token = 0;  // multiply-adds
};

int CountWithin(const IndexSet& set, const UnitRange& range) {
  int count = 0;
  for (const uint64_t word : SliceWords(set, range)) {
    count += std::popcount(word);
  }
  return count;
}

class ComponentPlanner {
 public:
  ComponentPlanner(std::span<const Row> rows,
                   const DecoderSpec& spec,
                   const ComponentLayout& layout,
                   const ReuseOptions& reuse)
      : rows_(rows), spec_(spec), layout_(layout), reuse_(reuse) {}

  // By reference kind, then sparse to full.
  std::vector<PlannedGroup> Groups() const {
    std::vector<PlannedGroup> merged;
    for (PlannedGroup& group : Cells()) {
      if (!merged.empty() && MergeIfCheaper(merged.back(), group)) continue;
      merged.push_back(std::move(group));
    }
    return merged;
  }

  // Of `tokens` tokens of `num_rows` rows of a group.
  int64_t Bytes(const PlannedGroup& group,
                int64_t num_rows,
                int64_t tokens) const {
    int64_t most = 0;
    for (const std::vector<int>& modules : layout_.of_layer) {
      int64_t numbers = 0, widest = 0;
      for (const int m : modules) {
        const ModuleUnitRange& module = layout_.modules[m];
        const int64_t listed = reuse_.compact_units
                                   ? Choose(m, group, tokens).listed
                                   : module.num_components;
        const int64_t gathered =
            listed < module.num_components
                ? listed * (module.d_out + (module.embedding ? 0 : module.d_in))
                : 0;
        numbers += 2 * tokens * listed + gathered;
        widest = std::max(widest, 3 * tokens * listed);
      }
      most = std::max(most, numbers + widest);
    }
    return ActivationBytes(spec_, tokens, kBytesPerNumber) +
           kBytesPerNumber *
               (most + 3 * std::min<int64_t>(num_rows, 64) * spec_.vocab_size);
  }

  int64_t Tokens(const Row& row) const {
    return static_cast<int64_t>(ComputedRow(row, reuse_).positions.size());
  }

 private:
  PlannedGroup Alone(int index) const {
    const Row& row = rows_[index];
    const ComponentRow computed = ComputedRow(row, reuse_);
    PlannedGroup group{
        .reference = row.prompt->reference,
        .rows = {index},
        .kept = IndexSet(layout_.per_position),
        .lacking = IndexSet(layout_.per_position),
        .tokens = static_cast<int64_t>(computed.positions.size())};
    const UnitRange all{.first = 0, .count = layout_.per_position};
    std::vector<uint64_t> by_any((layout_.per_position + 63) / 64, 0);
    std::vector<uint64_t> by_all(by_any.size(), ~uint64_t{0});
    for (int slot = 0; slot < computed.num_slots(); ++slot) {
      const std::vector<uint64_t> kept = KeptAt(computed, layout_, all, slot);
      for (size_t i = 0; i < kept.size(); ++i) {
        by_any[i] |= kept[i];
        by_all[i] &= kept[i];
      }
    }
    for (int unit = 0; unit < layout_.per_position; ++unit) {
      const size_t word = static_cast<size_t>(unit) / 64;
      if ((by_any[word] >> (unit % 64)) & 1) group.kept.Insert(unit);
      if (!((by_all[word] >> (unit % 64)) & 1)) group.lacking.Insert(unit);
    }
    return group;
  }

  // Densities by factors of two, of what is kept or of what lacks.
  int Density(const PlannedGroup& group) const {
    if (!reuse_.compact_units) return 0;
    const int kept = group.kept.Count(), lacking = group.lacking.Count();
    const auto width = [](int count) {
      return static_cast<int>(std::bit_width(static_cast<unsigned>(count)));
    };
    return kept <= lacking ? width(kept) : 64 - width(lacking);
  }

  std::vector<PlannedGroup> Cells() const {
    using Key = std::tuple<ReferenceKind, int, const Prompt*>;
    std::map<Key, PlannedGroup> cells;
    for (size_t i = 0; i < rows_.size(); ++i) {
      PlannedGroup alone = Alone(static_cast<int>(i));
      const Key key{alone.reference, Density(alone), rows_[i].prompt.get()};
      const auto [cell, is_new] = cells.try_emplace(key, std::move(alone));
      if (!is_new) Add(cell->second, alone);
    }
    std::vector<PlannedGroup> groups;
    for (auto& [key, cell] : cells) {
      cell.cost_per_token = CostPerToken(cell);
      groups.push_back(std::move(cell));
    }
    return groups;
  }

  static void Add(PlannedGroup& into, const PlannedGroup& group) {
    into.rows.insert(into.rows.end(), group.rows.begin(), group.rows.end());
    into.kept.UniteWith(group.kept);
    into.lacking.UniteWith(group.lacking);
    into.tokens += group.tokens;
  }

  Listing Choose(int m, const PlannedGroup& group, int64_t tokens) const {
    const ModuleUnitRange& module = layout_.modules[m];
    UnitRange range = module.units;
    range.count = module.num_components;
    const UnitId delta = range.first + range.count;
    return ChooseListing(module,
                         {.kept = CountWithin(group.kept, range),
                          .lacking = CountWithin(group.lacking, range),
                          .delta_kept = group.kept.Contains(delta),
                          .delta_lacking = group.lacking.Contains(delta)},
                         tokens);
  }

  double CostPerToken(const PlannedGroup& group) const {
    if (!reuse_.compact_units) return 1;
    double cost = 0;
    for (size_t m = 0; m < layout_.modules.size(); ++m) {
      cost += Choose(static_cast<int>(m), group, group.tokens).cost;
    }
    return cost / static_cast<double>(group.tokens);
  }

  bool MergeIfCheaper(PlannedGroup& into, const PlannedGroup& group) const {
    if (into.reference != group.reference) return false;
    PlannedGroup both = into;
    Add(both, group);
    both.cost_per_token = CostPerToken(both);
    const auto cost = [](const PlannedGroup& one) {
      return one.cost_per_token * static_cast<double>(one.tokens);
    };
    if (cost(both) >
        cost(into) + cost(group) + kBatchOverhead * spec_.num_layers) {
      return false;
    }
    into = std::move(both);
    return true;
  }

  const std::span<const Row> rows_;
  const DecoderSpec& spec_;
  const ComponentLayout& layout_;
  const ReuseOptions& reuse_;
};

}  // namespace

std::vector<PlannedBatch> PlanComponentBatches(std::span<const Row> rows,
                                               const DecoderSpec& spec,
                                               const ComponentLayout& layout,
                                               const ReuseOptions& reuse,
                                               int64_t max_bytes) {
  const ComponentPlanner planner(rows, spec, layout, reuse);
  std::vector<PlannedBatch> batches;
  for (const PlannedGroup& group : planner.Groups()) {
    int64_t tokens = 0, in_batch = 0;
    for (const int row : group.rows) {
      const int64_t more = planner.Tokens(rows[row]);
      const bool fits =
          in_batch > 0 && reuse.batch_rows && tokens + more <= kMostTokens &&
          planner.Bytes(group, in_batch + 1, tokens + more) <= max_bytes;
      if (!fits) {
        batches.push_back({.reference = group.reference});
        tokens = in_batch = 0;
      }
      tokens += more;
      ++in_batch;
      batches.back().rows.push_back(row);
      batches.back().bytes = planner.Bytes(group, in_batch, tokens);
    }
  }
  return batches;
}

}  // namespace spar::models
