// L1. What an edge counts for where edges are multiplied along paths.
//
// Note [Influence and paths]
// An edge w(s -> t) is a direct effect: the derivative of t's activation in
// s's, every other node held still, times the activation of s. Effects of s on
// a later node z that go through others are sums over paths, each the product
// of one factor an edge; the three factors in use differ in what they hold
// fixed.
//
//   kShare   |w(s -> t)| / sum over s' of |w(s' -> t)|. The influence of s on
//   z,
//            (B + B^2 + B^3 + ...)[z, s] of that matrix B, is the one that
//            circuit-tracer prunes by: the share of z's input, absolute
//            amounts, that passes through s. In [0, 1].
//   kEffect  w(s -> t) / a_s, the derivative itself, and a_s once for the
//   path's
//            first node. The influence is then the chain rule: what s adds to z
//            to first order along all paths, in units of z, with its sign.
//   kProduct w(s -> t) as it is: the paths' plain product of attributions.
//
// B is strictly triangular here, so its power sum ends by itself, and one sweep
// over the nodes adds up all paths.
#pragma once

#include <span>
#include <vector>

#include "graph/graph.h"

namespace spar::graph {

enum class Weighting { kShare, kEffect, kProduct };

// A path counts `starts` of its first node times `factors` of each edge.
struct PathWeights {
  std::vector<double> factors = {};  // [edge]
  std::vector<double> starts = {};   // [node]
};

// `activations` is [node]; kEffect alone reads it. An edge from a node whose
// activation is 0 has no weight, and counts for nothing.
PathWeights WeightsOf(const Graph& graph,
                      std::span<const double> activations,
                      Weighting weighting);

}  // namespace spar::graph
