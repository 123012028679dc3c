#include "models/torch/component_masks.h"

#include <utility>

#include "base/status.h"
#include "models/torch/aten.h"

namespace spar::models {
namespace {

// Above this share of a module's subcomponents a gather costs more than it
// saves.
constexpr double kGatherShare = 0.75;

// The rows of a per-token tensor that a computation is about.
at::Tensor Pick(const at::Tensor& values, const at::Tensor& rows) {
  if (!rows.defined() || values.size(0) == 1) return values;
  return values.index_select(0, rows);
}

}  // namespace

MaskedModule::MaskedModule(DecomposedDecoder& decoder,
                           int module,
                           ComponentMasks masks)
    : masks_(std::move(masks)),
      embedding_(decoder.modules()[module].module.site ==
                 ModuleSite::kEmbedding),
      weight_(decoder.Weight(module)) {
  const bool all_listed = masks_.values.defined() && !masks_.ids.defined();
  at::Tensor deltas;
  if (masks_.deltas.defined()) deltas = masks_.deltas.unsqueeze(1);
  AddBase(weight_, masks_.delta, deltas);
  if (all_listed) {
    factors_ = deltas.defined() ? masks_.values - deltas
                                : masks_.values - masks_.delta;
    KeepNonzero();
  } else {
    if (deltas.defined() || masks_.rest != masks_.delta) {
      AddBase(decoder.Sum(module), masks_.rest - masks_.delta,
              deltas.defined() ? masks_.rest - deltas : at::Tensor());
    }
    if (masks_.values.defined()) {
      factors_ = masks_.values - masks_.rest;
      ids_ = masks_.ids;
    }
  }
  if (factors_.defined() && factors_.size(1) == 0) factors_ = at::Tensor();
  if (!factors_.defined()) return;
  v_ = decoder.V(module, ids_);
  u_ = decoder.U(module, ids_);
}

void MaskedModule::AddBase(at::Tensor weight,
                           double factor,
                           at::Tensor factors) {
  if (factors.defined()) {
    bases_.push_back(
        {.weight = std::move(weight), .factors = std::move(factors)});
  } else if (factor != 0) {
    bases_.push_back({.weight = std::move(weight), .factor = factor});
  }
}

void MaskedModule::KeepNonzero() {
  if (factors_.requires_grad()) return;
  const at::Tensor any = factors_.ne(0).any(0).nonzero().flatten();
  const double share =
      static_cast<double>(any.numel()) / static_cast<double>(factors_.size(1));
  if (share > kGatherShare) return;
  factors_ = factors_.index_select(1, any);
  ids_ = any;
}

at::Tensor MaskedModule::Apply(const at::Tensor& x,
                               const at::Tensor& rows,
                               const at::Tensor& bias) const {
  const auto multiply = [&](const at::Tensor& weight) {
    if (embedding_) return weight.t().index_select(0, x);
    return at::linear(x, weight);
  };
  at::Tensor y;
  for (const Base& base : bases_) {
    at::Tensor term;
    const bool plain = !base.factors.defined() && base.factor == 1;
    if (plain && !embedding_ && !y.defined() && bias.defined()) {
      y = at::linear(x, base.weight, bias);
      continue;
    }
    term = multiply(base.weight);
    if (base.factors.defined()) {
      term = term * Pick(base.factors, rows);
    } else if (!plain) {
      term = term * base.factor;
    }
    y = y.defined() ? y + term : term;
    if (bias.defined() && &base == &bases_.front()) y = y + bias;
  }
  if (factors_.defined()) {
    const at::Tensor activations =
        embedding_ ? v_.index_select(1, x).t() : at::linear(x, v_);
    const at::Tensor scaled = activations * Pick(factors_, rows);
    if (y.defined()) return at::addmm(y, scaled, u_);
    if (bias.defined()) return at::addmm(bias, scaled, u_);
    return at::mm(scaled, u_);
  }
  if (y.defined()) return y;
  at::Tensor zeros = at::zeros({x.size(0), weight_.size(0)}, weight_.options());
  return bias.defined() ? zeros + bias : zeros;
}

at::Tensor MaskedModule::Recompose() const {
  INVARIANT(masks_.IsShared());
  at::Tensor result = at::zeros(weight_.sizes(), weight_.options());
  for (const Base& base : bases_) {
    if (base.factors.defined()) {
      result.add_(base.weight * base.factors);
    } else {
      result.add_(base.weight, base.factor);
    }
  }
  if (!factors_.defined()) return result;
  return result.addmm_((u_ * factors_.view({-1, 1})).t(), v_);
}

}  // namespace spar::models
