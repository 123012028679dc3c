// L1t. What the checker's two kinds of rows have in common: which tokens a run
// reads, and mean activations.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/row.h"

namespace spar::models {

// The tokens that a row's forward pass reads, and which of them may be seen.
struct DensePrompt {
  std::vector<TokenId> ids = {};
  std::vector<int32_t> positions = {};  // of the prompt, of each
  IndexSet kept = {};
};

DensePrompt ArrangeDense(const Row& row);

// [rows][columns] of zeros, float64.
at::Tensor DenseZeros(int64_t rows, int64_t columns);

// Sums of activations over prompts, position by position, and what they say
// about any position.
class DenseMean {
 public:
  DenseMean() = default;
  DenseMean(int64_t positions, int64_t width);

  // [position][width] of one prompt.
  void Add(const at::Tensor& values);
  // [position][width] for the positions 0..length-1.
  at::Tensor At(int length) const;

 private:
  double Count(int64_t position) const;
  // Over every position but the first, of every prompt. Zero where no prompt
  // has a second position.
  at::Tensor Pooled() const;

  at::Tensor sum_;
  std::vector<int> count_;
};

}  // namespace spar::models
