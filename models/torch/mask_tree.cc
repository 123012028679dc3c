#include "models/torch/mask_tree.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

namespace spar::models {
namespace {

// Rows in the order of their nodes.
std::vector<int> OrderBy(const std::vector<int>& node) {
  std::vector<int> order(node.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return node[a] < node[b]; });
  return order;
}

// Gives each distinct (node, key) a new node, in the order of the old ones;
// moves the rows there.
template <typename Key>
TreeStage Split(std::vector<int>& node_of_row, const Key& key_of_row) {
  using KeyValue = decltype(key_of_row(0));
  TreeStage stage;
  std::map<KeyValue, int> children;  // of the parent at hand
  int parent = -1;
  for (const int row : OrderBy(node_of_row)) {
    if (node_of_row[row] != parent) children.clear();
    parent = node_of_row[row];
    const int next = static_cast<int>(stage.parent.size());
    const auto [child, is_new] = children.try_emplace(key_of_row(row), next);
    if (is_new) {
      stage.parent.push_back(parent);
      stage.row.push_back(row);
    }
    node_of_row[row] = child->second;
  }
  return stage;
}

}  // namespace

std::vector<uint64_t> SliceWords(const IndexSet& units,
                                 const UnitRange& range) {
  const std::span<const uint64_t> words = units.words();
  std::vector<uint64_t> slice((range.count + 63) / 64, 0);
  const size_t word = static_cast<size_t>(range.first) / 64;
  const int shift = range.first % 64;
  for (size_t i = 0; i < slice.size(); ++i) {
    if (word + i < words.size()) slice[i] = words[word + i] >> shift;
    if (shift > 0 && word + i + 1 < words.size()) {
      slice[i] |= words[word + i + 1] << (64 - shift);
    }
  }
  const int tail = range.count % 64;
  if (tail != 0) slice.back() &= (uint64_t{1} << tail) - 1;
  return slice;
}

MaskTree GrowMaskTree(std::span<const TreeRow> rows,
                      std::span<const UnitRange> ranges,
                      bool share) {
  std::vector<int> sequences;
  for (const TreeRow& row : rows) sequences.push_back(row.sequence);
  return GrowMaskTree(
      sequences, static_cast<int>(ranges.size()),
      [&](int row, int stage) {
        return SliceWords(*rows[row].units, ranges[stage]);
      },
      share);
}

MaskTree GrowMaskTree(std::span<const int> sequences,
                      int num_stages,
                      const StageKey& key,
                      bool share) {
  MaskTree tree;
  tree.leaf.assign(sequences.begin(), sequences.end());
  if (!share) {
    tree.root = tree.leaf;
    std::sort(tree.root.begin(), tree.root.end());
    const TreeStage apart = Split(tree.leaf, [](int row) { return row; });
    TreeStage same{.row = apart.row};
    same.parent.resize(sequences.size());
    std::iota(same.parent.begin(), same.parent.end(), 0);
    tree.stages.assign(num_stages, same);
    return tree;
  }
  const TreeStage roots = Split(tree.leaf, [](int) { return 0; });
  tree.root = roots.parent;
  for (int stage = 0; stage < num_stages; ++stage) {
    tree.stages.push_back(
        Split(tree.leaf, [&](int row) { return key(row, stage); }));
  }
  return tree;
}

}  // namespace spar::models
