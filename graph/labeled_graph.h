// L1. A graph whose nodes say what they are, so that graphs can be compared.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace spar::graph {

struct Label {
  int32_t site = 0;      // in LabeledGraph::sites
  int32_t kind = 0;      // what of the site: any numbering, the same everywhere
  int32_t index = 0;     // within site and kind: a subcomponent, neuron, token
  int32_t position = 0;  // in the prompt
};

// Sites have the same name in all graphs of one model. No two nodes of a graph
// have the same label.
struct LabeledGraph {
  std::vector<int32_t> tokens = {};  // of the prompt
  std::vector<std::string> sites = {};
  std::vector<Label> labels = {};  // [node]
  Graph graph = {};
};

}  // namespace spar::graph
