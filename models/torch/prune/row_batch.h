// L1t. Rows of a pruning side by side in one batch of masked runs.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/prune/prune_readout.h"
#include "models/torch/prune/prune_subject.h"
#include "models/torch/sequences.h"

namespace spar::models {

// Which subcomponents a batch multiplies: those that have a node in any of its
// rows, or all.
enum class RowListing { kAlive, kAll };

// Masks of everything that is listed, beneath those of the nodes.
struct Background {
  at::Tensor masks = {};   // [entries], by module, token, listed subcomponent
  at::Tensor deltas = {};  // [modules, tokens]
};

// Nodes of the rows lie one after another. Not thread-safe. Throws c10::Error;
// outside any InferenceMode.
class RowBatch {
 public:
  RowBatch(const PruneSubject& subject,
           std::vector<PruneRow> rows,
           RowListing listing);

  int64_t num_nodes() const { return places_.numel(); }
  const std::vector<PruneRow>& rows() const { return rows_; }
  const PruneReadout& readout() const { return readout_; }

  // Bytes of the copies of V and U that KeepFactors keeps between runs.
  int64_t FactorBytes() const;
  void KeepFactors();

  // Uniform masks and Deltas; row r draws from seeds[r].
  Background DrawBackground(std::span<const uint64_t> seeds) const;
  // Masks of the nodes in a background, [nodes].
  at::Tensor AtNodes(const Background& background) const;

  struct Slopes {
    at::Tensor losses = {};  // R of each row, [rows]
    at::Tensor of_nodes =
        {};  // d (sum of losses) / d (mask of a node), [nodes]
  };
  // `masks`: of the nodes, [nodes]; all else 0, or as `background`, which is
  // used up.
  Slopes Differentiate(PruneLoss loss,
                       const at::Tensor& masks,
                       const Background* background);
  // Of the last positions, [rows, vocab].
  at::Tensor LogitsOf(const at::Tensor& masks);

 private:
  // Of one module.
  struct Listed {
    at::Tensor ids = {};  // [count], long; undefined: all
    int64_t count = 0;
    int64_t first = 0;  // entry
  };

  void List(RowListing listing);
  std::vector<ComponentModule> Gathered() const;
  at::Tensor Entries(const at::Tensor& masks,
                     const Background* background) const;
  at::Tensor Run(const std::vector<at::Tensor>& values,
                 const at::Tensor& deltas);

  DecomposedDecoder& decomposed_;
  const MaskSampling sampling_;
  const std::vector<PruneRow> rows_;
  const PruneReadout readout_;
  SequenceBatch batch_;
  int64_t num_tokens_ = 0;
  std::vector<Listed> listed_ = {};  // [module]
  int64_t num_entries_ = 0;
  at::Tensor places_ = {};  // entry of each node, long
  // Of the listed alone; null: made for each run, or all are listed.
  std::unique_ptr<DecomposedDecoder> kept_ = nullptr;
  const RowListing listing_;
};

// What one row of a batch needs, forth and back, generously.
int64_t RowBytes(const PruneSubject& subject, const PromptNodes& nodes);

// Consecutive rows that fit one batch, [first, last) each; at least one row.
std::vector<std::pair<size_t, size_t>> SplitRows(
    const PruneSubject& subject,
    const PruneLimits& limits,
    std::span<const PruneRow> rows);

}  // namespace spar::models
