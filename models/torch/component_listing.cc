#include "models/torch/component_listing.h"

#include <bit>
#include <utility>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

// What reading a number of a matrix costs beside multiplying it by one token's.
constexpr double kReadTokens = 4;

bool TestBit(const std::vector<uint64_t>& words, int bit) {
  return (words[static_cast<size_t>(bit) / 64] >> (bit % 64)) & 1;
}

// Calls see(index) for every bit among the first `count` that is `value`.
template <typename See>
void ForEachBit(const std::vector<uint64_t>& words,
                int count,
                bool value,
                const See& see) {
  for (size_t i = 0; i < words.size(); ++i) {
    uint64_t word = value ? words[i] : ~words[i];
    const int left = count - static_cast<int>(64 * i);
    if (left <= 0) return;
    if (left < 64) word &= (uint64_t{1} << left) - 1;
    for (; word != 0; word &= word - 1) {
      see(static_cast<int>(64 * i) + std::countr_zero(word));
    }
  }
}

// All slots of some nodes, and the slot of each token.
struct Slots {
  std::vector<std::vector<uint64_t>> kept = {};  // [slot]
  std::vector<int64_t> of_token = {};
  std::vector<uint64_t> by_any = {};
  std::vector<uint64_t> by_all = {};
};

Slots GatherSlots(const ComponentLayout& layout,
                  const UnitRange& range,
                  std::span<const ComponentRow* const> nodes) {
  Slots slots;
  for (const ComponentRow* const node : nodes) {
    const int64_t first = static_cast<int64_t>(slots.kept.size());
    for (size_t token = 0; token < node->positions.size(); ++token) {
      slots.of_token.push_back(
          node->by_position ? first + static_cast<int64_t>(token) : first);
    }
    for (int slot = 0; slot < node->num_slots(); ++slot) {
      slots.kept.push_back(KeptAt(*node, layout, range, slot));
    }
  }
  slots.by_any = slots.by_all = slots.kept[0];
  for (const std::vector<uint64_t>& kept : slots.kept) {
    for (size_t i = 0; i < kept.size(); ++i) {
      slots.by_any[i] |= kept[i];
      slots.by_all[i] &= kept[i];
    }
  }
  return slots;
}

// [slots, ...] by token; a single slot serves all tokens.
at::Tensor ByToken(const at::Tensor& values, const Slots& slots) {
  if (slots.kept.size() == 1 || slots.kept.size() == slots.of_token.size()) {
    return values;
  }
  return values.index_select(
      0, at::tensor(slots.of_token, at::dtype(at::kLong)).to(values.device()));
}

}  // namespace

ComponentLayout LayOut(const DecompositionSpec& spec, int num_layers) {
  ComponentLayout layout;
  layout.of_layer.resize(num_layers);
  for (const DecomposedModule& module : spec.modules) {
    const int units = module.num_components + 1;
    const bool embedding = module.site == ModuleSite::kEmbedding;
    layout.of_layer[embedding ? 0 : module.layer].push_back(
        static_cast<int>(layout.modules.size()));
    layout.modules.push_back(
        {.units = {.first = layout.per_position, .count = units},
         .num_components = module.num_components,
         .d_in = module.d_in,
         .d_out = module.d_out,
         .embedding = embedding});
    layout.per_position += units;
  }
  return layout;
}

ComponentRow ComputedRow(const Row& row, const ReuseOptions& reuse) {
  const bool compact = reuse.compact_positions ||
                       row.prompt->position_mode == PositionMode::kReindex;
  return {.units = &row.units,
          .by_position = row.prompt->space == UnitSpace::kNodes,
          .positions = compact
                           ? row.positions.Members()
                           : IndexSet::All(row.positions.universe()).Members()};
}

std::vector<uint64_t> KeptAt(const ComponentRow& row,
                             const ComponentLayout& layout,
                             const UnitRange& range,
                             int slot) {
  const int first =
      row.by_position ? row.positions[slot] * layout.per_position : 0;
  return SliceWords(*row.units,
                    {.first = first + range.first, .count = range.count});
}

Listing ChooseListing(const ModuleUnitRange& module,
                      const ListingCounts& counts,
                      int64_t tokens) {
  const double by_tokens = static_cast<double>(tokens) + kReadTokens;
  const double d_in = module.embedding ? 1 : static_cast<double>(module.d_in);
  const double d_out = static_cast<double>(module.d_out);
  const double each = (d_in + d_out) * by_tokens;
  const double matrix = d_in * d_out * by_tokens;
  const bool mixed = counts.delta_kept && counts.delta_lacking;
  const Listing sparse{
      .rest = 0,
      .listed = counts.kept,
      .cost = counts.kept * each + (counts.delta_kept ? matrix : 0)};
  const Listing full{.rest = 1,
                     .listed = counts.lacking,
                     .cost = counts.lacking * each + (mixed ? 2 : 1) * matrix};
  return full.cost < sparse.cost ? full : sparse;
}

ComponentMasks MasksOf(const ComponentLayout& layout,
                       int module,
                       std::span<const ComponentRow* const> nodes,
                       bool list_all,
                       const at::TensorOptions& options) {
  const ModuleUnitRange& range = layout.modules[module];
  const int num_components = range.num_components;
  const Slots slots = GatherSlots(layout, range.units, nodes);
  const int64_t num_slots = static_cast<int64_t>(slots.kept.size());
  ListingCounts counts{.delta_kept = TestBit(slots.by_any, num_components),
                       .delta_lacking = !TestBit(slots.by_all, num_components)};
  std::vector<int64_t> kept, lacking;
  ForEachBit(slots.by_any, num_components, true,
             [&](int c) { kept.push_back(c); });
  ForEachBit(slots.by_all, num_components, false,
             [&](int c) { lacking.push_back(c); });
  counts.kept = static_cast<int>(kept.size());
  counts.lacking = static_cast<int>(lacking.size());
  const Listing listing =
      ChooseListing(range, counts, static_cast<int64_t>(slots.of_token.size()));

  ComponentMasks masks;
  masks.rest = listing.rest;
  masks.delta = counts.delta_lacking ? 0 : 1;
  if (counts.delta_kept && counts.delta_lacking) {
    at::Tensor deltas = at::empty({num_slots}, at::dtype(at::kFloat));
    float* const to = deltas.mutable_data_ptr<float>();
    for (int64_t slot = 0; slot < num_slots; ++slot) {
      to[slot] = TestBit(slots.kept[slot], num_components) ? 1 : 0;
    }
    masks.deltas = ByToken(deltas.to(options), slots);
  }
  std::vector<int64_t> ids = listing.rest == 0 ? kept : lacking;
  if (list_all) {
    ids.resize(num_components);
    for (int c = 0; c < num_components; ++c) ids[c] = c;
  }
  if (ids.empty()) return masks;
  const int64_t listed = static_cast<int64_t>(ids.size());
  std::vector<int64_t> column(num_components, -1);
  for (int64_t i = 0; i < listed; ++i) column[ids[i]] = i;
  at::Tensor values = at::empty({num_slots, listed}, at::dtype(at::kFloat));
  values.fill_(listing.rest);
  float* const to = values.mutable_data_ptr<float>();
  for (int64_t slot = 0; slot < num_slots; ++slot) {
    ForEachBit(slots.kept[slot], num_components, listing.rest == 0, [&](int c) {
      to[slot * listed + column[c]] = listing.rest == 0 ? 1 : 0;
    });
  }
  masks.values = ByToken(values.to(options), slots);
  if (listed < num_components) {
    masks.ids = at::tensor(ids, at::dtype(at::kLong)).to(options.device());
  }
  return masks;
}

}  // namespace spar::models
