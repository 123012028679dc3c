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

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/attribution.h"
#include "models/torch/parameters.h"

namespace spar::models {

// One decomposed matrix, W = sum_c U_c V_c^T + Delta, on the decoder's device.
// The embedding reads one-hot tokens: its v is [C, vocab].
struct ModuleFactors {
  SitePart part = SitePart::kQ;
  int layer = -1;
  std::string name = {};
  at::Tensor v = {};  // [C, in]
  at::Tensor u = {};  // [C, out], `out` in the checkpoint's order
};

// What multiplies the subcomponents and the Delta of one matrix.
struct ModuleMasks {
  at::Tensor components = {};  // [T, C]
  at::Tensor delta = {};       // [T]
};

// What one matrix wrote: components + delta + bias. Columns in the engine's
// order; of kQkv: q, then k, then v.
struct ModuleTrace {
  SitePart part = SitePart::kQ;
  int layer = -1;
  const ModuleFactors* factors = nullptr;  // null: not decomposed
  at::Tensor columns = {};                 // [out] of u; undefined: as they are
  at::Tensor activations = {};             // [T, C], V_c . input
  at::Tensor masks = {};                   // [T, C]; undefined: all 1
  at::Tensor components = {};  // [T, out], masked; undefined without factors
  at::Tensor delta = {};       // [T, out], masked; all of Wx without factors
  at::Tensor bias = {};        // [out]; undefined when absent
};

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

// The activation function, and its slope, at every entry of `pre`.
at::Tensor ActivationAt(Activation kind, const at::Tensor& pre);
at::Tensor SlopeAt(Activation kind, const at::Tensor& pre);

// Logits at some positions, [n, vocab].
at::Tensor LogitsOf(const Trace& trace, const at::Tensor& positions);

}  // namespace spar::models
