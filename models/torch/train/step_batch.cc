#include "models/torch/train/step_batch.h"

#include <optional>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

bool IsEmbedding(const DecomposedModule& module) {
  return module.site == ModuleSite::kEmbedding;
}

// weight: [out, in]; x: [n, in], of an embedding ids.
at::Tensor Multiply(const DecomposedModule& module,
                    const at::Tensor& x,
                    const at::Tensor& weight) {
  if (IsEmbedding(module)) return weight.t().index_select(0, x);
  return at::linear(x, weight);
}

}  // namespace

StepBatch::StepBatch(const TrainTarget& target,
                     const TrainedFactors& factors,
                     const at::Tensor& data,
                     OutputDistance distance,
                     bool keep_outputs)
    : factors_(factors),
      device_(target.device()),
      num_sequences_(data.size(0)),
      batch_(target.Start(data)),
      products_(factors.size()),
      clean_(factors.size()),
      clean_leaves_(factors.size()) {
  const c10::NoGradGuard no_grad;
  inputs_.runs = batch_->runs();
  if (keep_outputs) outputs_.resize(factors.size());
  ReplacedModules own;
  own.is_target = true;
  own.which.assign(factors.size(), true);
  own.apply = [&](int m, const at::Tensor& x, const at::Tensor& bias) {
    const DecomposedModule& module = factors_.module(m);
    inputs_.streams[StreamOf(module)] = x;
    at::Tensor y = Multiply(module, x, factors_.weight(m));
    // Copies: a target may turn heads in place.
    if (StreamOf(module) == StreamOf(factors_.module(0))) {
      products_[m] = y.clone();
    }
    if (bias.defined()) y.add_(bias);
    if (!outputs_.empty()) outputs_[m] = y.clone();
    return y;
  };
  for (const Run& run : inputs_.runs) rows_ += run.tokens();
  loss_ = std::make_unique<OutputLoss>(distance, batch_->Forward(own));
}

const at::Tensor& StepBatch::CleanActivations(size_t m) {
  if (clean_[m].defined()) return clean_[m];
  const c10::AutoGradMode gradients(true);
  const DecomposedModule& module = factors_.module(m);
  clean_[m] = Multiply(module, inputs_.Of(module), factors_.v(m));
  return clean_[m];
}

const at::Tensor& StepBatch::CleanLeaf(size_t m) {
  if (!clean_leaves_[m].defined()) {
    clean_leaves_[m] = CleanActivations(m).detach().requires_grad_(true);
  }
  return clean_leaves_[m];
}

at::Tensor StepBatch::Write(const ModuleMask& mask,
                            size_t m,
                            const at::Tensor& x,
                            const at::Tensor& bias,
                            bool reads_clean,
                            bool constant_factors) {
  const DecomposedModule& module = factors_.module(m);
  const auto factor = [&](const at::Tensor& leaf) {
    return constant_factors ? leaf.detach() : leaf;
  };
  at::Tensor base = bias;
  if (mask.deltas.defined()) {
    const bool known = reads_clean && products_[m].defined();
    base = (known ? products_[m] : Multiply(module, x, factors_.weight(m))) *
           mask.deltas;
    if (bias.defined()) base = base + bias;
  }
  at::Tensor a = reads_clean ? factor(CleanLeaf(m))
                             : Multiply(module, x, factor(factors_.v(m)));
  if (mask.factors.defined()) a = a * mask.factors;
  const at::Tensor u = factor(factors_.u(m));
  return base.defined() ? at::addmm(base, a, u) : at::mm(a, u);
}

at::Tensor StepBatch::Forward(const RunMasks& masks,
                              bool constant_factors,
                              std::vector<at::Tensor>* outputs) {
  const c10::AutoGradMode gradients(true);
  // What the first replaced module reads is what the target's reads.
  std::optional<StreamKey> first;
  for (size_t m = 0; m < factors_.size() && !first.has_value(); ++m) {
    if (masks.which[m]) first = StreamOf(factors_.module(m));
  }
  ReplacedModules replaced;
  replaced.which = masks.which;
  replaced.apply = [&](int m, const at::Tensor& x, const at::Tensor& bias) {
    const bool reads_clean = first == StreamOf(factors_.module(m));
    const at::Tensor y =
        Write(masks.modules[m], m, x, bias, reads_clean, constant_factors);
    if (outputs != nullptr) (*outputs)[m] = y.clone();
    return y;
  };
  return batch_->Forward(replaced);
}

at::Tensor StepBatch::Recon(const RunMasks& masks, double weight) {
  const at::Tensor output = Forward(masks, /*constant_factors=*/false, nullptr);
  OutputLoss::Value value = loss_->Of(output);
  output.backward(value.slopes.mul_(weight));
  return value.loss;
}

void StepBatch::Attack(const std::function<RunMasks()>& make_masks,
                       const std::vector<at::Tensor>& leaves) {
  const c10::AutoGradMode gradients(true);
  const at::Tensor output =
      Forward(make_masks(), /*constant_factors=*/true, nullptr);
  const OutputLoss::Value value = loss_->Of(output);
  output.backward(value.slopes, /*retain_graph=*/std::nullopt,
                  /*create_graph=*/false, at::TensorList(leaves));
}

at::Tensor StepBatch::HiddenActs(const RunMasks& masks, double weight) {
  std::vector<at::Tensor> outputs(factors_.size());
  Forward(masks, /*constant_factors=*/false, &outputs);
  const c10::AutoGradMode gradients(true);
  at::Tensor sum;
  double entries = 0;
  for (size_t m = 0; m < outputs.size(); ++m) {
    const at::Tensor difference = outputs[m] - outputs_[m];
    const at::Tensor square = (difference * difference).sum();
    sum = sum.defined() ? sum + square : square;
    entries += static_cast<double>(difference.numel());
  }
  const at::Tensor loss = sum / entries;
  (loss * weight).backward();
  return loss.detach();
}

void StepBatch::Finish(const std::vector<at::Tensor>& roots,
                       const std::vector<at::Tensor>& slopes) {
  const c10::AutoGradMode gradients(true);
  at::Tensor sum;
  const auto add = [&](const at::Tensor& root, const at::Tensor& slope) {
    const at::Tensor term = (root * slope).sum();
    sum = sum.defined() ? sum + term : term;
  };
  for (size_t i = 0; i < roots.size(); ++i) {
    if (slopes[i].defined()) add(roots[i], slopes[i]);
  }
  for (size_t m = 0; m < clean_leaves_.size(); ++m) {
    const at::Tensor& leaf = clean_leaves_[m];
    if (leaf.defined() && leaf.grad().defined()) add(clean_[m], leaf.grad());
  }
  if (sum.defined() && sum.requires_grad()) sum.backward();
}

}  // namespace spar::models
