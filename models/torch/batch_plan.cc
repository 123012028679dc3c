#include "models/torch/batch_plan.h"

#include <algorithm>
#include <bit>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

#include "models/torch/mask_tree.h"

namespace spar::models {
namespace {

// Rows that plainly belong together: same prompt, similar number of units.
struct Group {
  ReferenceKind reference = ReferenceKind::kZero;
  std::vector<int> rows = {};
  IndexSet units = {};
  int64_t tokens = 0;
  double cost_per_token = 0;  // multiply-adds
};

class Planner {
 public:
  Planner(std::span<const Row> rows,
          const DecoderSpec& spec,
          const UnitTable& units,
          const ReuseOptions& reuse)
      : rows_(rows), spec_(spec), units_(units), reuse_(reuse) {}

  // By reference kind, then sparse to dense.
  std::vector<Group> Groups() {
    std::vector<Group> merged;
    for (Group& group : Cells()) {
      if (!merged.empty() && MergeIfCheaper(merged.back(), group)) continue;
      merged.push_back(std::move(group));
    }
    return merged;
  }

  // Tokens that a row computes.
  int64_t Tokens(const Row& row) const {
    const bool compact = reuse_.compact_positions ||
                         row.prompt->position_mode == PositionMode::kReindex;
    return compact ? row.positions.Count() : row.positions.universe();
  }

 private:
  std::vector<Group> Cells() {
    using Key = std::tuple<ReferenceKind, int, const Prompt*>;
    std::map<Key, Group> cells;
    for (size_t i = 0; i < rows_.size(); ++i) {
      const Row& row = rows_[i];
      const unsigned count = static_cast<unsigned>(row.units.Count());
      // Densities by factors of two.
      const int density =
          reuse_.compact_units
              ? std::bit_width(static_cast<unsigned>(units_.size())) -
                    std::bit_width(count)
              : 0;
      Group& cell = cells[{row.prompt->reference, -density, row.prompt.get()}];
      if (cell.rows.empty()) {
        cell.reference = row.prompt->reference;
        cell.units = row.units;
      }
      cell.rows.push_back(static_cast<int>(i));
      cell.units.UniteWith(row.units);
      cell.tokens += Tokens(row);
    }
    std::vector<Group> groups;
    for (auto& [key, cell] : cells) {
      cell.cost_per_token = CostPerToken(cell.units);
      groups.push_back(std::move(cell));
    }
    return groups;
  }

  double CostPerToken(const IndexSet& units) const {
    if (!reuse_.compact_units) return 1;
    double cost = 0;
    for (int layer = 0; layer < units_.num_layers(); ++layer) {
      const LayerUnits& counts = units_.layer(layer);
      const UnitId head = units_.Id({.kind = UnitKind::kHead, .layer = layer});
      const auto kept = [&](int first, int count) {
        int sum = 0;
        for (const uint64_t word : SliceWords(units, {first, count})) {
          sum += std::popcount(word);
        }
        return static_cast<double>(sum);
      };
      cost += kept(head, counts.num_heads) *
                  static_cast<double>(counts.parameters_per_head) +
              kept(head + counts.num_heads, counts.num_neurons) *
                  static_cast<double>(counts.parameters_per_neuron);
    }
    return cost;
  }

  bool MergeIfCheaper(Group& into, Group& group) const {
    if (into.reference != group.reference) return false;
    IndexSet both = into.units;
    both.UniteWith(group.units);
    const double cost =
        both == into.units ? into.cost_per_token : CostPerToken(both);
    const double tokens = static_cast<double>(into.tokens + group.tokens);
    const double apart =
        into.cost_per_token * static_cast<double>(into.tokens) +
        group.cost_per_token * static_cast<double>(group.tokens) +
        kBatchOverhead * spec_.num_layers;
    if (cost * tokens > apart) return false;
    into.rows.insert(into.rows.end(), group.rows.begin(), group.rows.end());
    into.units = std::move(both);
    into.tokens += group.tokens;
    into.cost_per_token = cost;
    return true;
  }

  const std::span<const Row> rows_;
  const DecoderSpec& spec_;
  const UnitTable& units_;
  const ReuseOptions& reuse_;
};

}  // namespace

int64_t ActivationBytes(const DecoderSpec& spec,
                        int64_t tokens,
                        int64_t bytes_per_number) {
  const int64_t attention =
      int64_t{2 * spec.num_heads + 2 * spec.num_kv_heads} * spec.head_dim;
  const int64_t mlp = int64_t{spec.mlp_width} * (spec.gated_mlp ? 4 : 2);
  const int64_t numbers = 5 * int64_t{spec.width} + std::max(attention, mlp);
  return tokens * numbers * bytes_per_number;
}

std::vector<PlannedBatch> PlanBatches(std::span<const Row> rows,
                                      const DecoderSpec& spec,
                                      const UnitTable& units,
                                      const ReuseOptions& reuse,
                                      int bytes_per_number) {
  Planner planner(rows, spec, units, reuse);
  std::vector<PlannedBatch> batches;
  for (Group& group : planner.Groups()) {
    int64_t tokens = kMostTokens;  // starts a batch
    for (const int row : group.rows) {
      const int64_t more = planner.Tokens(rows[row]);
      if (tokens + more > kMostTokens || !reuse.batch_rows) {
        batches.push_back({.reference = group.reference});
        tokens = 0;
      }
      tokens += more;
      batches.back().rows.push_back(row);
      batches.back().bytes = ActivationBytes(spec, tokens, bytes_per_number) +
                             12 * int64_t{spec.vocab_size};
    }
  }
  return batches;
}

std::vector<PlannedBatch> PlanGradientBatches(
    std::span<const GradientRow> rows,
    int64_t max_bytes,
    const std::function<int64_t(int64_t rows, int64_t tokens)>& bytes_of) {
  std::vector<int> order(rows.size());
  std::iota(order.begin(), order.end(), 0);
  const auto key = [&](int i) {
    return std::pair(rows[i].prompt->reference, rows[i].positions.Count());
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return key(a) < key(b); });
  std::vector<PlannedBatch> batches;
  int64_t tokens = 0;
  for (const int row : order) {
    const auto [reference, length] = key(row);
    const bool fits =
        !batches.empty() && batches.back().reference == reference &&
        bytes_of(static_cast<int64_t>(batches.back().rows.size()) + 1,
                 tokens + length) <= max_bytes;
    if (!fits) {
      batches.push_back({.reference = reference});
      tokens = 0;
    }
    PlannedBatch& batch = batches.back();
    tokens += length;
    batch.rows.push_back(row);
    batch.bytes = bytes_of(static_cast<int64_t>(batch.rows.size()), tokens);
  }
  return batches;
}

}  // namespace spar::models
