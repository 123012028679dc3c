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
                           ComponentMasks masks,
                           ComponentReference reference)
    : masks_(std::move(masks)),
      reference_(std::move(reference)),
      embedding_(decoder.modules()[module].module.site ==
                 ModuleSite::kEmbedding),
      weight_(decoder.Weight(module)) {
  AddBases(decoder, module);
  if (factors_.defined() && factors_.size(1) == 0) factors_ = at::Tensor();
  if (!factors_.defined()) return;
  v_ = decoder.V(module, ids_);
  u_ = decoder.U(module, ids_);
  if (reference_.means == nullptr) return;
  listed_means_ = reference_.means->activations;
  if (ids_.defined()) listed_means_ = listed_means_.index_select(1, ids_);
}

void MaskedModule::AddBases(DecomposedDecoder& decoder, int module) {
  const double rest = masks_.rest, delta = masks_.delta;
  const ModuleMeans* const means = reference_.means;
  const at::Tensor target_mean = means ? means->target : at::Tensor();
  const at::Tensor sum_mean = means ? means->sum : at::Tensor();
  at::Tensor deltas;
  if (masks_.deltas.defined()) deltas = masks_.deltas.unsqueeze(1);
  if (masks_.values.defined() && !masks_.ids.defined()) {  // all are listed
    AddBase(weight_, delta, deltas, target_mean);
    factors_ =
        deltas.defined() ? masks_.values - deltas : masks_.values - delta;
    KeepNonzero();
    return;
  }
  if (masks_.values.defined()) {
    factors_ = masks_.values - rest;
    ids_ = masks_.ids;
  }
  if (rest == 0) {
    if (!deltas.defined() && delta == 0) return;
    AddBase(decoder.Delta(module), delta, deltas,
            means ? target_mean - sum_mean : at::Tensor());
    return;
  }
  AddBase(weight_, delta, deltas, target_mean);
  if (!deltas.defined() && rest == delta) return;
  AddBase(decoder.Sum(module), rest - delta,
          deltas.defined() ? rest - deltas : at::Tensor(), sum_mean);
}

void MaskedModule::AddBase(at::Tensor weight,
                           double factor,
                           at::Tensor factors,
                           at::Tensor means) {
  if (!factors.defined() && factor == 0) return;
  bases_.push_back({.weight = std::move(weight),
                    .factor = factor,
                    .factors = std::move(factors),
                    .means = std::move(means)});
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

at::Tensor MaskedModule::Means(const at::Tensor& rows) const {
  if (reference_.means == nullptr) return {};
  if (bases_.size() == 1 && bases_[0].weight.is_same(weight_) &&
      !bases_[0].factors.defined() && bases_[0].factor == 1) {
    return {};  // W's own mean, less itself
  }
  const at::Tensor at_rows = Pick(reference_.rows, rows);
  at::Tensor y = reference_.means->target.index_select(0, at_rows);
  for (const Base& base : bases_) {
    const at::Tensor mean = base.means.index_select(0, at_rows);
    y = y - (base.factors.defined() ? mean * Pick(base.factors, rows)
                                    : mean * base.factor);
  }
  return y;
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
  if (const at::Tensor means = Means(rows); means.defined()) {
    if (y.defined()) {
      y = y + means;
    } else {
      y = bias.defined() ? means + bias : means;
    }
  }
  if (factors_.defined()) {
    at::Tensor activations =
        embedding_ ? v_.index_select(1, x).t() : at::linear(x, v_);
    if (listed_means_.defined()) {
      activations = activations -
                    listed_means_.index_select(0, Pick(reference_.rows, rows));
    }
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
