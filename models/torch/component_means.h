// L1t. What the modules of a decomposed decoder write over the reference
// prompts, in the mean: Note [Mean reference].
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "models/row.h"
#include "models/torch/decomposed_decoder.h"

namespace spar::models {

// Of one module, a row for each row of positions; outputs in the engine's
// order, without bias.
struct ModuleMeans {
  at::Tensor activations = {};  // of a_c = V_c x, [rows, C]
  at::Tensor sum = {};          // of sum_c a_c U_c, [rows, d_out]
  at::Tensor target = {};       // of W x, [rows, d_out]; Delta's is the rest
};

struct ComponentMeans {
  std::vector<ModuleMeans> modules = {};
  // Position ids from here on share the last row.
  int last_row = 0;
};

// Runs the model itself on `prompts`, at least one, that fit it. Throws
// c10::Error: call outside any InferenceMode.
ComponentMeans MeasureComponentMeans(
    const DecomposedDecoder& decomposed,
    const std::vector<std::vector<TokenId>>& prompts);

}  // namespace spar::models
