// L1t. The weights of a layer's kept units alone, and the fold of the others.
#pragma once

#include <cstdint>
#include <list>
#include <vector>

#include "models/torch/masked_forward.h"
#include "models/torch/parameters.h"

namespace spar::models {

// Mean reference of a whole model, with what it adds to the stream when no unit
// is on: o_bias + heads @ o, and down_bias + neurons @ down, [rows, width].
struct ReferenceFold {
  ReferenceValues values = {};
  std::vector<at::Tensor> heads_out = {};    // [layer]
  std::vector<at::Tensor> neurons_out = {};  // [layer]
};

ReferenceFold FoldReference(const Decoder& decoder, ReferenceValues values);

// Some heads or neurons of a layer, ascending, and their weights.
struct KeptHeads {
  std::vector<int32_t> units = {};
  AttentionWeights weights = {};
  at::Tensor reference = {};  // [rows, heads * head_dim]; undefined: zero
};
struct KeptNeurons {
  std::vector<int32_t> units = {};
  MlpWeights weights = {};
  at::Tensor reference = {};  // [rows, neurons]; undefined: zero
};

// Gathers weights, and keeps the latest within a bound of bytes: the sets of
// one search shrink slowly, so a slightly larger set serves as well. Not
// thread-safe.
class Compaction {
 public:
  Compaction(const Decoder& decoder, int64_t max_bytes)
      : decoder_(decoder), max_bytes_(max_bytes) {}

  // Weights of the heads `wanted` (ascending) of a layer; unless `exact`, or of
  // some more: then rounding depends on what was asked before. Throws
  // c10::Error.
  KeptHeads Heads(int layer,
                  const std::vector<int32_t>& wanted,
                  const ReferenceFold* reference,
                  bool exact);
  KeptNeurons Neurons(int layer,
                      const std::vector<int32_t>& wanted,
                      const ReferenceFold* reference,
                      bool exact);

 private:
  struct Key {
    int layer = 0;
    bool mean = false;
    friend bool operator==(const Key&, const Key&) = default;
  };
  template <typename Kept>
  struct Entry {
    Key key = {};
    int64_t bytes = 0;
    Kept kept = {};
  };
  template <typename Kept>
  using Entries = std::list<Entry<Kept>>;  // latest use first

  template <typename Kept>
  const Kept* Find(Entries<Kept>& entries,
                   const Key& key,
                   const std::vector<int32_t>& wanted,
                   bool exact);
  template <typename Kept>
  void Remember(Entries<Kept>& entries,
                const Key& key,
                int64_t bytes,
                const Kept& kept);
  KeptHeads GatherHeads(int layer, const std::vector<int32_t>& units);
  KeptNeurons GatherNeurons(int layer, const std::vector<int32_t>& units);

  const Decoder& decoder_;
  const int64_t max_bytes_;
  int64_t bytes_ = 0;
  Entries<KeptHeads> heads_;
  Entries<KeptNeurons> neurons_;
};

}  // namespace spar::models
