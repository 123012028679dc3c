// L1t. A prompt to be pruned: what is alive in it, and what the model says.
#pragma once

#include <cstdint>
#include <vector>

#include "models/prune.h"
#include "models/torch/prune/prune_subject.h"

namespace spar::models {

// Nodes lie by module, position, component. Positions after the one that is
// read cannot reach it: they are not run, and their nodes are not listed.
struct PromptNodes {
  std::vector<TokenId> tokens = {};  // up to the position read
  int64_t length = 0;                // of the whole prompt
  TokenId target = 0;
  at::Tensor log_probabilities = {};    // of the model there, [1, vocab]
  PruneReading model = {};              // what it says
  std::vector<int64_t> begin = {0};     // [module + 1] into the lists
  std::vector<int32_t> position = {};   // [node]
  std::vector<int32_t> component = {};  // [node], within the module
  at::Tensor logits = {};               // z at the start, [nodes], float32

  int64_t num_nodes() const { return begin.back(); }
  int64_t num_tokens() const { return static_cast<int64_t>(tokens.size()); }
};

// Throws c10::Error.
PromptNodes FindPromptNodes(const PruneSubject& subject,
                            const PruneRequest& request,
                            const PrunePrompt& prompt);

// One prompt at one price. Rows of a prompt share its nodes.
struct PruneRow {
  int prompt = 0;       // of the request
  int coefficient = 0;  // of the request
  double price = 0;
  const PromptNodes* nodes = nullptr;
  uint64_t key = 0;  // names its random draws
};

// Of the request's seed, the prompt up to its position, its target and the
// price.
uint64_t RowKey(uint64_t seed, const PromptNodes& nodes, double price);

}  // namespace spar::models
