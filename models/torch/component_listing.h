// L1t. What the rows of a batch keep of a decomposition's units, and the
// cheapest way to say so to a masked module. See Note [A masked weight as three
// sums].
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/decomposition_spec.h"
#include "models/row.h"
#include "models/torch/component_masks.h"
#include "models/torch/mask_tree.h"
#include "models/torch/torch_backend.h"

namespace spar::models {

// The units of one module at one position: its subcomponents, then its Delta.
struct ModuleUnitRange {
  UnitRange units = {};  // counted from the position's first
  int num_components = 0;
  int64_t d_in = 0;
  int64_t d_out = 0;
  bool embedding = false;  // reads one column of its matrices for each token
};

struct ComponentLayout {
  std::vector<ModuleUnitRange> modules = {};
  std::vector<std::vector<int>> of_layer = {};  // modules; the embedding's: 0
  int per_position = 0;                         // units
};

ComponentLayout LayOut(const DecompositionSpec& spec, int num_layers);

// A row as a batch computes it: its units at one slot for all tokens, or at one
// for each.
struct ComponentRow {
  const IndexSet* units = nullptr;
  bool by_position = false;  // units are nodes
  // Of the prompt, of each token that is computed.
  std::vector<int32_t> positions = {};

  int num_slots() const {
    return by_position ? static_cast<int>(positions.size()) : 1;
  }
};

ComponentRow ComputedRow(const Row& row, const ReuseOptions& reuse);

// The units of `range` that the row keeps at a slot, as words.
std::vector<uint64_t> KeptAt(const ComponentRow& row,
                             const ComponentLayout& layout,
                             const UnitRange& range,
                             int slot);

// How many subcomponents of a module any slot keeps and any lacks, and Delta.
struct ListingCounts {
  int kept = 0;
  int lacking = 0;
  bool delta_kept = false;
  bool delta_lacking = false;
};

// The mask of all that is not listed, and what the listed cost in
// multiply-adds.
struct Listing {
  int rest = 0;
  int listed = 0;
  double cost = 0;
};

Listing ChooseListing(const ModuleUnitRange& module,
                      const ListingCounts& counts,
                      int64_t tokens);

// The masks of one module for `nodes` side by side. With `list_all` nothing is
// left out.
ComponentMasks MasksOf(const ComponentLayout& layout,
                       int module,
                       std::span<const ComponentRow* const> nodes,
                       bool list_all,
                       const at::TensorOptions& options);

}  // namespace spar::models
