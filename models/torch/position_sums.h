// L1t. Sums of activations over the reference prompts, by position id.
#pragma once

#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/row.h"
#include "models/torch/masked_forward.h"

namespace spar::models {

// Note [Mean reference]
// One value per unit and position id, averaged over the reference prompts run
// whole with every unit on. Position 0 stands apart: its activations are
// unlike all others. A later position that fewer than 8 prompts reach takes the
// mean over all positions from 1 on of all prompts (zero where no prompt has a
// second token): its values are the last row.

// What the prompts, at least one, say of a position id.
class PositionRows {
 public:
  explicit PositionRows(const std::vector<std::vector<TokenId>>& prompts);

  // Position ids from here on share this row, the last.
  int last() const { return last_; }
  // How many tokens each row is over, at least 1: [rows, 1], float64.
  at::Tensor Counts(at::Device device) const;

 private:
  const std::vector<std::vector<TokenId>>& prompts_;
  int last_ = 0;
};

// Float64, [rows, width].
class PositionSums {
 public:
  PositionSums(const PositionRows& rows, int64_t width, at::Device device);

  // activations: [tokens, width] at position ids `ids`.
  void Add(const at::Tensor& activations, const at::Tensor& ids);
  const at::Tensor& values() const { return values_; }

 private:
  at::Tensor values_;  // [last + 1, width]
};

// Runs the full model on all prompts, some at a time. `options_of` is asked
// before each run; masks are not its to set. Throws c10::Error.
void RunReferences(
    const Decoder& decoder,
    const std::vector<std::vector<TokenId>>& prompts,
    const std::function<MaskOptions(const SequenceBatch& batch)>& options_of);

}  // namespace spar::models
