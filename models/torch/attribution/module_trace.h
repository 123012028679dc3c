// L1t. What one matrix of a run writes, split into its subcomponents and Delta.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/attribution.h"

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

// The matrices of a run in progress. Without any factors there is nothing to
// record: what is written is `plain`, and no module is kept. Throws c10::Error.
class ModuleTracer {
 public:
  // `factors` and `masks`, one for each of them or none, outlive this.
  ModuleTracer(std::span<const ModuleFactors> factors,
               std::span<const ModuleMasks> masks,
               at::ScalarType dtype)
      : factors_(factors), masks_(masks), dtype_(dtype) {}

  // Null where the matrix is not decomposed.
  const ModuleFactors* Factors(SitePart part, int layer) const;

  // Splits `plain`, the matrix's own output without bias, into what its
  // subcomponents and its Delta write, under the run's masks. Returns the
  // output without bias.
  at::Tensor Write(ModuleTrace module, const at::Tensor& plain);

  // The same for a matrix that reads `x`, with its bias, undefined for none.
  // `columns`: of the factors' u.
  at::Tensor Write(SitePart part,
                   int layer,
                   const at::Tensor& x,
                   const at::Tensor& plain,
                   const at::Tensor& bias,
                   const at::Tensor& columns);

  // All that was written, in order. Call once, at the end.
  std::vector<ModuleTrace> Take() { return std::move(modules_); }

 private:
  const std::span<const ModuleFactors> factors_;
  const std::span<const ModuleMasks> masks_;
  const at::ScalarType dtype_;
  std::vector<ModuleTrace> modules_;
};

}  // namespace spar::models
