// L1t. Masks on the subcomponents of decomposed weights, and the cheapest sum
// that gives what a masked weight writes.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/decomposed_decoder.h"

namespace spar::models {

// What multiplies the subcomponents and the Delta of one module in a batch:
//   y(t) = sum_c m_c(t) a_c(t) U_c + d(t) Delta x(t) + bias    (VPD, §2; the
// format's docs/formats.md). Any real numbers. Tensors of one row hold for all
// tokens.
struct ComponentMasks {
  double rest = 1;         // the mask of every subcomponent that is not listed
  at::Tensor ids = {};     // [k], long; undefined: all, where `values` is there
  at::Tensor values = {};  // [tokens or 1, k]; undefined: none listed
  double delta = 1;
  at::Tensor deltas = {};  // [tokens or 1]; undefined: `delta` for all tokens

  bool IsTarget() const {
    return !values.defined() && rest == 1 && delta == 1 && !deltas.defined();
  }
  // Whether all tokens share the masks.
  bool IsShared() const {
    return (!values.defined() || values.size(0) == 1) &&
           (!deltas.defined() || deltas.size(0) == 1);
  }
};

// Note [A masked weight as three sums]
// With R = sum_c U_c V_c^T and Delta = W - R,
//   y = d W x + (r - d) R x + sum_{c listed} (m_c - r) a_c U_c + bias
// for any r that is the mask of all that is not listed. So Delta is never
// formed: the target (r = d = 1) with a few subcomponents changed costs W and
// those few; alive subcomponents alone (r = d = 0) cost only themselves; all of
// them without Delta (r = 1, d = 0) cost R, which is made once. Where all are
// listed r is free, and r = d leaves out R; then only the columns that differ
// from d anywhere are multiplied.
class MaskedModule {
 public:
  // Differentiable in `masks.values` and
  // `masks.deltas` when grad mode is on.
  MaskedModule(DecomposedDecoder& decoder, int module, ComponentMasks masks);

  bool is_target() const { return masks_.IsTarget(); }

  // [n, d_out] in the engine's order. x: [n, d_in], of the embedding token ids
  // [n]. `rows`: the batch's token of each row of x, long; undefined: x has
  // them all. `bias` may be undefined.
  at::Tensor Apply(const at::Tensor& x,
                   const at::Tensor& rows,
                   const at::Tensor& bias) const;

  // The masked weight, [d_out, d_in]. The masks are shared by all tokens.
  at::Tensor Recompose() const;

 private:
  // W or R with what multiplies it.
  struct Base {
    at::Tensor weight = {};  // [d_out, d_in]
    double factor = 1;
    at::Tensor factors = {};  // [tokens, 1], in place of `factor`
  };

  void AddBase(at::Tensor weight, double factor, at::Tensor factors);
  // Leaves out of the listed what adds nothing.
  void KeepNonzero();

  const ComponentMasks masks_;
  const bool embedding_;
  const at::Tensor weight_;
  std::vector<Base> bases_ = {};
  // The listed: what is gathered of them and what multiplies each.
  at::Tensor ids_ = {};      // [k]; undefined: all
  at::Tensor factors_ = {};  // [tokens or 1, k]; undefined: none
  at::Tensor v_ = {};        // [k, d_in]
  at::Tensor u_ = {};        // [k, d_out], outputs in the engine's order
};

}  // namespace spar::models
