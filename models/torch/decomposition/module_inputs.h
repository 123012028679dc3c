// L1t. What the decomposed modules of a decoder read in a run of the unchanged
// model.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/decomposition_spec.h"
#include "models/torch/sequences.h"

namespace spar::models {

// One tensor that modules read: q, k and v of a layer share theirs.
struct StreamKey {
  int layer = -1;
  InputStream stream = InputStream::kTokens;

  friend auto operator<=>(const StreamKey&, const StreamKey&) = default;
};

inline StreamKey StreamOf(const DecomposedModule& module) {
  return {.layer = module.layer, .stream = InputStreamOf(module.site)};
}

struct ModuleInputs {
  // [tokens, d_in], float32; kTokens: the token ids, [tokens], int64.
  std::map<StreamKey, at::Tensor> streams = {};
  std::vector<Run> runs = {};  // of the tokens

  const at::Tensor& Of(const DecomposedModule& module) const {
    return streams.at(StreamOf(module));
  }
  int64_t num_tokens() const;
  // The same for some of the tokens; without runs.
  ModuleInputs Rows(int64_t begin, int64_t count) const;
};

// Runs the model on the batch's whole prompts and keeps what `modules` read.
// Throws c10::Error: call inside CatchTorch.
ModuleInputs CaptureInputs(const Decoder& decoder,
                           SequenceBatch& batch,
                           const std::vector<DecomposedModule>& modules);

}  // namespace spar::models
