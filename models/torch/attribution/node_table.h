// L1t. The nodes of one graph, site by site, and their numbers.
//
// A site's nodes are ordered by position; of one position first its scalar
// nodes by index, then its vector nodes. That is also the order of the rows
// that the edge kernels work on.
#pragma once

#include <cstdint>
#include <vector>

#include "models/attribution.h"

namespace spar::models {

struct SiteNodes {
  AttributionSite site = {};
  NodeKind scalar_kind = NodeKind::kSubcomponent;
  // Scalar nodes, ascending by position, then index.
  std::vector<int32_t> position = {};
  std::vector<int32_t> index = {};
  std::vector<NodeKind> vectors = {};  // at every position
  int32_t number = 0;                  // of this site
  int32_t first_node = 0;
  std::vector<int64_t> begin = {};  // [T + 1]: first scalar of each position

  int64_t num_scalars() const { return static_cast<int64_t>(index.size()); }
  int64_t num_vectors() const { return static_cast<int64_t>(vectors.size()); }
  int64_t ScalarsAt(int t) const { return begin[t + 1] - begin[t]; }
  // Rows of this site before position t, t <= T.
  int64_t RowsBefore(int t) const { return begin[t] + num_vectors() * t; }
  int64_t RowsAt(int t) const { return ScalarsAt(t) + num_vectors(); }
  int32_t FirstNode(int t) const {
    return first_node + static_cast<int32_t>(RowsBefore(t));
  }
};

class NodeTable {
 public:
  NodeTable(int tokens, std::vector<SiteNodes> sites);

  int tokens() const { return tokens_; }
  int32_t num_nodes() const { return num_nodes_; }
  const std::vector<SiteNodes>& sites() const { return sites_; }
  // Null where the graph has no such site.
  const SiteNodes* Find(SitePart part, int layer) const;

 private:
  int tokens_ = 0;
  int32_t num_nodes_ = 0;
  std::vector<SiteNodes> sites_;
};

}  // namespace spar::models
