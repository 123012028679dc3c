// L1t. One run of a decoder with all that the derivatives at it need.
//
// The engine's weights are read as they lie: fused, and with the rotating
// coordinates of q and k as adjacent pairs (parameters.h). Nothing is held
// twice; the few rows of U that a graph names are brought to that order when
// they are gathered. Half-precision weights are widened where they are used:
// a trace is float32, or float64 of a float64 decoder.
//
// T positions, d width, H query heads, K kv heads, e head_dim, F mlp_width.
#pragma once

#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/attribution/module_trace.h"
#include "models/torch/parameters.h"

namespace spar::models {

// A norm as the run used it.
struct NormTrace {
  const NormWeights* weights = nullptr;
  at::Tensor centred = {};  // [T, d], its input; less its mean for layer norm
  at::Tensor sigma = {};    // [T], sqrt(mean square of centred + epsilon)
};

struct LayerTrace {
  NormTrace attention_norm = {};
  at::Tensor q = {};        // [H, T, e], rotated
  at::Tensor k = {};        // [H, T, e], rotated; of each head's kv head
  at::Tensor v = {};        // [H, T, e]
  at::Tensor pattern = {};  // [H, T, T]
  at::Tensor mixed = {};    // [T, H e]
  NormTrace mlp_norm = {};
  at::Tensor gate = {};     // [T, F] before the activation; gated MLPs only
  at::Tensor up = {};       // [T, F] before the activation where not gated
  at::Tensor neurons = {};  // [T, F], what down reads
};

struct Trace {
  const Decoder* decoder = nullptr;
  at::ScalarType dtype = at::kFloat;
  int tokens = 0;
  at::Tensor embedding = {};  // [T, d]
  std::vector<LayerTrace> layers = {};
  NormTrace final_norm = {};
  std::vector<ModuleTrace> modules = {};  // in the order of computation
  at::Tensor cos = {}, sin = {};  // [T, rotary.dim / 2]; undefined without

  // Null where the run has no such matrix: every run has them all but one
  // without factors, which has none.
  const ModuleTrace* Find(SitePart part, int layer) const;
};

// Runs `tokens`. `factors` and the decoder outlive the trace. With `masks`, one
// for each of the factors, the matrices are replaced by mask * U V^T + mask *
// Delta; without, the run is the model's own. Without factors the modules are
// left out. Throws c10::Error: call inside CatchTorch.
Trace TraceRun(const Decoder& decoder,
               std::span<const TokenId> tokens,
               std::span<const ModuleFactors> factors,
               std::span<const ModuleMasks> masks);

// Turns the heads of x, [n, heads, e], by their rows of cos and sin, each [n,
// pairs]; backwards if `inverse`. As they are where cos is undefined.
at::Tensor TurnHeads(const at::Tensor& x,
                     const at::Tensor& cos,
                     const at::Tensor& sin,
                     bool inverse);

// Logits at some positions, [n, vocab].
at::Tensor LogitsOf(const Trace& trace, const at::Tensor& positions);

}  // namespace spar::models
