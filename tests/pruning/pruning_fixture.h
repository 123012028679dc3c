// Test support: a small decomposed decoder with learned positions, and
// importances that are a function of the prompt.
#pragma once

#include <memory>
#include <vector>

#include "models/prune.h"
#include "models/snapshot/snapshot.h"
#include "models/torch/prune/torch_pruning.h"

namespace spar::models {

// Layer norms, GELU, biases, tied embeddings.
DecoderSpec PrunedShape(int num_layers);

class PruningFixture {
 public:
  PruningFixture();

  const PruneSubject& subject() const { return subject_; }
  DecomposedDecoder& decomposed() { return *decomposed_; }
  // z of every module, [tokens, C].
  std::vector<at::Tensor> LogitsOf(std::span<const TokenId> tokens) const;

  std::vector<PrunedRow> Run(const PruneRequest& request,
                             const PruneLimits& limits = {}) const;

 private:
  std::shared_ptr<const Snapshot> snapshot_;
  Decoder decoder_ = {};
  std::unique_ptr<DecomposedDecoder> decomposed_;
  PruneSubject subject_ = {};
};

// To its end, by prompt, then coefficient.
std::vector<PrunedRow> RunPruning(Pruning& pruning);

}  // namespace spar::models
