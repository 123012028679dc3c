#include "models/torch/train/run_masks.h"

#include "models/torch/aten.h"

namespace spar::models {
namespace {

RunMasks Replacing(size_t num_modules, int only) {
  RunMasks masks;
  masks.which.assign(num_modules, only < 0);
  if (only >= 0) masks.which[only] = true;
  masks.modules.resize(num_modules);
  return masks;
}

const at::Tensor& RoutingOf(const std::vector<at::Tensor>& routing, size_t m) {
  static const at::Tensor kAll;
  return routing.empty() ? kAll : routing[m];
}

// d' for a drawn or chosen d, undefined: none.
at::Tensor RoutedDelta(const at::Tensor& delta, const at::Tensor& rho) {
  if (!rho.defined()) return delta;
  if (!delta.defined()) return 1 - rho;
  return rho * delta + (1 - rho);
}

}  // namespace

std::vector<at::Tensor> DrawRouting(const Routing& routing,
                                    const DrawKey& key,
                                    size_t num_modules,
                                    int64_t rows,
                                    at::Device device) {
  std::vector<at::Tensor> bits;
  const int64_t count = static_cast<int64_t>(num_modules);
  at::Tensor routed;  // [rows, modules]
  switch (routing.kind) {
    case RoutingKind::kAll:
    case RoutingKind::kLayerwise:
      return bits;
    case RoutingKind::kUniformSubset: {
      const at::Tensor ranks =
          key.Of(0)
              .Uniform({rows, count}, device)
              .argsort(/*dim=*/int64_t{1}, /*descending=*/false)
              .argsort(/*dim=*/int64_t{1}, /*descending=*/false);
      const at::Tensor sizes =
          (key.Of(1).Uniform({rows, 1}, device) * static_cast<double>(count))
              .floor();
      routed = ranks <= sizes;
      break;
    }
    case RoutingKind::kStaticProbability:
      routed = key.Uniform({rows, count}, device) < routing.probability;
      break;
  }
  const at::Tensor by_module = routed.to(at::kFloat).t().contiguous();
  for (int64_t m = 0; m < count; ++m) {
    bits.push_back(by_module[m].unsqueeze(1));
  }
  return bits;
}

RunMasks UnmaskedMasks(size_t num_modules) {
  return Replacing(num_modules, -1);
}

RunMasks ImportanceMasks(const std::vector<at::Tensor>& g,
                         const std::vector<at::Tensor>& routing,
                         int only) {
  RunMasks masks = Replacing(g.size(), only);
  for (size_t m = 0; m < g.size(); ++m) {
    if (!masks.which[m]) continue;
    const at::Tensor& rho = RoutingOf(routing, m);
    masks.modules[m] = {.factors = rho.defined() ? g[m] * rho : g[m],
                        .deltas = RoutedDelta({}, rho)};
  }
  return masks;
}

RunMasks StochasticMasks(const std::vector<at::Tensor>& g,
                         const std::vector<at::Tensor>& routing,
                         int only,
                         MaskSampling sampling,
                         bool use_delta,
                         const DrawKey& key) {
  RunMasks masks = Replacing(g.size(), only);
  for (size_t m = 0; m < g.size(); ++m) {
    if (!masks.which[m]) continue;
    const at::Tensor& rho = RoutingOf(routing, m);
    const DrawKey of_module = key.Of(m);
    at::Tensor r = of_module.Of(0).Uniform(g[m].sizes().vec(), g[m].device());
    if (sampling == MaskSampling::kBinomial) r = r.ge(0.5).to(at::kFloat);
    at::Tensor delta;
    if (use_delta) {
      delta = of_module.Of(1).Uniform({g[m].size(0), 1}, g[m].device());
    }
    // rho (g + (1 - g) r - d) = rho (r - d) + g rho (1 - r)
    at::Tensor slope = 1 - r;
    at::Tensor offset = use_delta ? r.sub_(delta) : r;
    if (rho.defined()) {
      slope.mul_(rho);
      offset.mul_(rho);
    }
    masks.modules[m] = {.factors = offset.addcmul(g[m], slope),
                        .deltas = RoutedDelta(delta, rho)};
  }
  return masks;
}

RunMasks AdversarialMasks(const std::vector<at::Tensor>& g,
                          const std::vector<at::Tensor>& routing,
                          int only,
                          const std::vector<ModuleSources>& sources) {
  RunMasks masks = Replacing(g.size(), only);
  for (size_t m = 0; m < g.size(); ++m) {
    if (!masks.which[m]) continue;
    const at::Tensor& rho = RoutingOf(routing, m);
    const at::Tensor& delta = sources[m].deltas;
    // rho g + rho (1 - g) s - rho d: what does not move is multiplied first.
    const at::Tensor routed = rho.defined() ? g[m] * rho : g[m];
    const at::Tensor slope = (rho.defined() ? rho : at::ones({})) - routed;
    at::Tensor factors = routed.addcmul(slope, sources[m].masks);
    if (delta.defined()) {
      factors = factors - (rho.defined() ? rho * delta : delta);
    }
    masks.modules[m] = {.factors = factors, .deltas = RoutedDelta(delta, rho)};
  }
  return masks;
}

}  // namespace spar::models
