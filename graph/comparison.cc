#include "graph/comparison.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <string>
#include <tuple>

#include "graph/alignment.h"

namespace spar::graph {
namespace {

using Key = std::tuple<int32_t, int32_t, int32_t, int32_t>;

// [left node]: the same node of the right graph, or -1.
std::vector<int32_t> Match(
    const LabeledGraph& left,
    const LabeledGraph& right,
    const std::vector<std::pair<int32_t, int32_t>>& same) {
  std::map<std::string, int32_t> sites;
  for (size_t i = 0; i < right.sites.size(); ++i) {
    sites.emplace(right.sites[i], static_cast<int32_t>(i));
  }
  std::map<Key, int32_t> nodes;
  for (size_t i = 0; i < right.labels.size(); ++i) {
    const Label& label = right.labels[i];
    nodes[{label.site, label.kind, label.index, label.position}] =
        static_cast<int32_t>(i);
  }
  const std::vector<int32_t> positions =
      AlignPositions(left.tokens, right.tokens);
  std::vector<int32_t> match(left.labels.size(), -1);
  for (size_t i = 0; i < left.labels.size(); ++i) {
    const Label& label = left.labels[i];
    const auto site = sites.find(left.sites[static_cast<size_t>(label.site)]);
    if (site == sites.end()) continue;
    const auto found =
        nodes.find({site->second, label.kind, label.index,
                    positions[static_cast<size_t>(label.position)]});
    if (found != nodes.end()) match[i] = found->second;
  }
  for (const auto& [l, r] : same) {
    std::replace(match.begin(), match.end(), r, -1);
    match[static_cast<size_t>(l)] = r;
  }
  return match;
}

// Both lists ascend by source in their own numbering; `match` need not.
void ComparePair(const LabeledGraph& left,
                 const LabeledGraph& right,
                 const std::vector<int32_t>& match,
                 int32_t left_target,
                 const std::vector<int32_t>& back,
                 Comparison& comparison) {
  const int32_t right_target = match[static_cast<size_t>(left_target)];
  std::map<int32_t, EdgePair> edges;  // by right source
  const std::span<const int32_t> left_sources = left.graph.Sources(left_target);
  const std::span<const float> left_weights = left.graph.Weights(left_target);
  for (size_t i = 0; i < left_sources.size(); ++i) {
    const int32_t source = match[static_cast<size_t>(left_sources[i])];
    if (source < 0) {
      ++comparison.edges_only_left;
      continue;
    }
    edges[source] = {{left_sources[i], left_target},
                     {source, right_target},
                     left_weights[i],
                     0};
  }
  const std::span<const int32_t> right_sources =
      right.graph.Sources(right_target);
  const std::span<const float> right_weights =
      right.graph.Weights(right_target);
  for (size_t i = 0; i < right_sources.size(); ++i) {
    const int32_t source = back[static_cast<size_t>(right_sources[i])];
    if (source < 0) {
      ++comparison.edges_only_right;
      continue;
    }
    EdgePair& pair = edges[right_sources[i]];
    pair.left = {source, left_target};
    pair.right = {right_sources[i], right_target};
    pair.right_weight = right_weights[i];
  }
  for (const auto& [source, pair] : edges) comparison.edges.push_back(pair);
}

float Change(const EdgePair& pair) {
  return std::abs(pair.right_weight - pair.left_weight);
}

}  // namespace

Comparison Compare(const LabeledGraph& left,
                   const LabeledGraph& right,
                   const std::vector<std::pair<int32_t, int32_t>>& same) {
  const std::vector<int32_t> match = Match(left, right, same);
  std::vector<int32_t> back(right.labels.size(), -1);
  Comparison comparison;
  for (size_t i = 0; i < match.size(); ++i) {
    const int32_t node = static_cast<int32_t>(i);
    if (match[i] < 0) {
      comparison.only_left.push_back(node);
      comparison.edges_only_left +=
          static_cast<int64_t>(left.graph.Sources(node).size());
    } else {
      comparison.common.emplace_back(node, match[i]);
      back[static_cast<size_t>(match[i])] = node;
    }
  }
  for (size_t i = 0; i < back.size(); ++i) {
    if (back[i] >= 0) continue;
    const int32_t node = static_cast<int32_t>(i);
    comparison.only_right.push_back(node);
    comparison.edges_only_right +=
        static_cast<int64_t>(right.graph.Sources(node).size());
  }
  for (const auto& [l, r] : comparison.common) {
    ComparePair(left, right, match, l, back, comparison);
  }
  std::stable_sort(comparison.edges.begin(), comparison.edges.end(),
                   [](const EdgePair& a, const EdgePair& b) {
                     return Change(a) > Change(b);
                   });
  return comparison;
}

}  // namespace spar::graph
