// L1t. A decoder with the factors of its decomposed weights.
//
// Note [Factors and the engine's weights]
// The engine keeps q and k rows in an order of its own (adjacent rotating
// pairs) and q, k, v in one matrix, gate and up in another; o and down are
// transposed. Factors stay as the decomposition has them: U in the checkpoint's
// order of outputs, once in memory for whoever needs it. What is made of them
// is small or made once, so it is brought to the engine's order then: the rows
// of U that a run gathers, and recomposed matrices. A recomposed matrix is then
// an engine matrix like any other, and whatever runs on a Decoder runs on it.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "models/decomposition/decomposition.h"
#include "models/torch/parameters.h"

namespace spar::models {

// W = sum_c U[c] V[c]^T + Delta, on the decoder's device. Stored in
// any floating dtype; what is made of it is of the decoder's.
struct ComponentModule {
  DecomposedModule module = {};
  at::Tensor v = {};  // [C, d_in]
  at::Tensor u = {};  // [C, d_out], outputs as in the checkpoint
};

// The factors of every module, in order. Throws c10::Error: call outside any
// InferenceMode.
std::vector<ComponentModule> LoadComponents(const Decomposition& decomposition,
                                            at::Device device,
                                            at::ScalarType dtype);

// The outputs of a module in the engine's order, as indices of the
// checkpoint's, long [d_out]; undefined where the two agree.
at::Tensor EngineOutputs(const DecoderSpec& spec,
                         const DecomposedModule& module);

// The engine's weight of a module, a view [d_out, d_in], outputs in the
// engine's order; of the embedding [width, vocab].
at::Tensor EngineWeight(const DecoderSpec& spec,
                        const DecoderWeights& weights,
                        const DecomposedModule& module);

// Not thread-safe. Throws c10::Error.
class DecomposedDecoder {
 public:
  // `decoder` outlives this. `modules`: of its weights, no site twice.
  // `deltas`: Delta of each module, [d_out, d_in], outputs as in the
  // checkpoint, where they are at hand; else empty.
  DecomposedDecoder(const Decoder& decoder,
                    std::vector<ComponentModule> modules,
                    std::vector<at::Tensor> deltas = {});

  const Decoder& decoder() const { return decoder_; }
  const std::vector<ComponentModule>& modules() const { return modules_; }

  // Index of the module at a site; -1: not decomposed.
  int Find(ModuleSite site, int layer) const;

  at::Tensor Weight(int module) const;
  // sum_c U[c] V[c]^T of all subcomponents, and what it lacks of the weight, as
  // Weight. Made when first asked for and kept: as many bytes as the weight.
  const at::Tensor& Sum(int module);
  const at::Tensor& Delta(int module);
  // Rows of V, [k, d_in], and of U in the engine's order, [k, d_out]. `ids`
  // undefined: all, without copies where the order allows it.
  at::Tensor V(int module, const at::Tensor& ids) const;
  at::Tensor U(int module, const at::Tensor& ids) const;

 private:
  at::Tensor MakeSum(int module) const;

  const Decoder& decoder_;
  const std::vector<ComponentModule> modules_;
  std::vector<at::Tensor> given_;    // [module], Delta; empty: not given
  std::vector<at::Tensor> outputs_;  // [module], EngineOutputs
  // [module], undefined until asked for
  std::vector<at::Tensor> sums_, deltas_;
};

}  // namespace spar::models
