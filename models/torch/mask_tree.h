// L1t. Which rows of a batch are still the same computation, stage by stage.
// Torch-free.
//
// A decoder runs as a chain of stages, each with some units. Two rows on one
// sequence that keep the same units in the first n stages hold the same stream
// after them, so it is computed once: the rows of a batch form a tree, whose
// nodes at each depth are the distinct streams.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "models/index_set.h"

namespace spar::models {

// Consecutive units whose masks apply at once.
struct UnitRange {
  int first = 0;
  int count = 0;
};

// One row: its sequence and what it keeps of all units.
struct TreeRow {
  int sequence = 0;
  const IndexSet* units = nullptr;
};

// The nodes of one stage. Those of one parent are neighbours, in the order of
// their parents.
struct TreeStage {
  std::vector<int> parent = {};  // [node]; of the first stage a root
  std::vector<int> row = {};     // [node]: one of the rows it stands for

  // Whether every parent has exactly one child.
  bool SameAsParents(int num_parents) const {
    return static_cast<int>(parent.size()) == num_parents;
  }
};

struct MaskTree {
  std::vector<int> root = {};          // [root node]: its sequence, ascending
  std::vector<TreeStage> stages = {};  // one per range
  std::vector<int> leaf = {};          // [row]: its node in the last stage
};

// `share` false: every row stays a node of its own throughout.
MaskTree GrowMaskTree(std::span<const TreeRow> rows,
                      std::span<const UnitRange> ranges,
                      bool share);

// What tells rows apart in a stage.
using StageKey = std::function<std::vector<uint64_t>(int row, int stage)>;

// The same for any keys; `sequences`: of each row.
MaskTree GrowMaskTree(std::span<const int> sequences,
                      int num_stages,
                      const StageKey& key,
                      bool share);

// Members of `units` within `range`, counted from range.first, as words.
std::vector<uint64_t> SliceWords(const IndexSet& units, const UnitRange& range);

}  // namespace spar::models
