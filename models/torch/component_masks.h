// L1t. Masks on the subcomponents of decomposed weights, and the cheapest sum
// that gives what a masked weight writes.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "models/torch/component_means.h"
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

// What masked parts hold in place of nothing.
struct ComponentReference {
  const ModuleMeans* means = nullptr;  // null: zero
  at::Tensor rows = {};                // of the means, for each token, long
};

// Note [A masked weight as three sums]
// With R = sum_c U_c V_c^T and Delta = W - R,
//   y = r R x + d Delta x + sum_{c listed} (m_c - r) a_c U_c + bias
// for any r that is the mask of all that is not listed. Of W, R and Delta the
// fewest are multiplied: W alone where r = d, so the target with a few
// subcomponents changed costs W and those few; Delta alone where r = 0, and
// nothing but the alive subcomponents where d = 0 too; else d W + (r - d) R.
// R and Delta are made once, when first wanted. Where all are listed r is free
// and is d; then only the columns that differ from d anywhere are multiplied.
//
// Against a mean reference every part writes m * own + (1 - m) * mean. With the
// means of x in place of 1 - m, that is
//   y = (what the masks make of x - mean x) + W mean x + bias
// so each sum loses its own mean, and W's is added.
class MaskedModule {
 public:
  // Differentiable in `masks.values` and
  // `masks.deltas` when grad mode is on.
  MaskedModule(DecomposedDecoder& decoder,
               int module,
               ComponentMasks masks,
               ComponentReference reference = {});

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
  // W, R or Delta with what multiplies it.
  struct Base {
    at::Tensor weight = {};  // [d_out, d_in]
    double factor = 1;
    at::Tensor factors = {};  // [tokens, 1], in place of `factor`
    at::Tensor means = {};    // of what it writes; undefined: zero
  };

  void AddBase(at::Tensor weight,
               double factor,
               at::Tensor factors,
               at::Tensor means);
  void AddBases(DecomposedDecoder& decoder, int module);
  // Leaves out of the listed what adds nothing.
  void KeepNonzero();
  // What the mean reference adds to everything else, [n, d_out]; undefined:
  // nothing.
  at::Tensor Means(const at::Tensor& rows) const;

  const ComponentMasks masks_;
  const ComponentReference reference_;
  const bool embedding_;
  const at::Tensor weight_;
  std::vector<Base> bases_ = {};
  // The listed: what is gathered of them and what multiplies each.
  at::Tensor ids_ = {};           // [k]; undefined: all
  at::Tensor factors_ = {};       // [tokens or 1, k]; undefined: none
  at::Tensor v_ = {};             // [k, d_in]
  at::Tensor u_ = {};             // [k, d_out], outputs in the engine's order
  at::Tensor listed_means_ = {};  // of their activations, [rows of means, k]
};

}  // namespace spar::models
