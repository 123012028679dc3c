#include "models/torch/attribution/node_table.h"

#include <utility>

namespace spar::models {

NodeTable::NodeTable(int tokens, std::vector<SiteNodes> sites)
    : tokens_(tokens), sites_(std::move(sites)) {
  for (size_t i = 0; i < sites_.size(); ++i) {
    SiteNodes& site = sites_[i];
    site.number = static_cast<int32_t>(i);
    site.first_node = num_nodes_;
    site.begin.assign(tokens + 1, 0);
    for (const int32_t position : site.position) ++site.begin[position + 1];
    for (int t = 0; t < tokens; ++t) site.begin[t + 1] += site.begin[t];
    num_nodes_ = site.FirstNode(tokens);
  }
}

const SiteNodes* NodeTable::Find(SitePart part, int layer) const {
  for (const SiteNodes& site : sites_) {
    if (site.site.part == part && site.site.layer == layer) return &site;
  }
  return nullptr;
}

}  // namespace spar::models
