#include "models/torch/attribution/module_trace.h"

#include "models/torch/aten.h"

namespace spar::models {

const ModuleFactors* ModuleTracer::Factors(SitePart part, int layer) const {
  for (const ModuleFactors& factors : factors_) {
    if (factors.part == part && factors.layer == layer) return &factors;
  }
  return nullptr;
}

at::Tensor ModuleTracer::Write(ModuleTrace module, const at::Tensor& plain) {
  if (factors_.empty()) return plain;
  if (module.factors == nullptr) {
    module.delta = plain;
    modules_.push_back(std::move(module));
    return plain;
  }
  at::Tensor u = module.factors->u.to(dtype_);
  const auto order = [&](const at::Tensor& rows) {
    return module.columns.defined() ? rows.index_select(1, module.columns)
                                    : rows;
  };
  module.components = order(module.activations.matmul(u));
  module.delta = plain - module.components;
  if (masks_.empty()) {
    modules_.push_back(std::move(module));
    return plain;
  }
  const ModuleMasks& masks = masks_[module.factors - factors_.data()];
  module.masks = masks.components.to(dtype_);
  module.components = order((module.activations * module.masks).matmul(u));
  module.delta = module.delta * masks.delta.to(dtype_).unsqueeze(1);
  at::Tensor written = module.components + module.delta;
  modules_.push_back(std::move(module));
  return written;
}

at::Tensor ModuleTracer::Write(SitePart part,
                               int layer,
                               const at::Tensor& x,
                               const at::Tensor& plain,
                               const at::Tensor& bias,
                               const at::Tensor& columns) {
  ModuleTrace module{.part = part,
                     .layer = layer,
                     .factors = Factors(part, layer),
                     .bias = bias};
  if (module.factors != nullptr) {
    module.columns = columns;
    module.activations = x.matmul(module.factors->v.to(dtype_).t());
  }
  const at::Tensor written = Write(std::move(module), plain);
  return bias.defined() ? written + bias : written;
}

}  // namespace spar::models
