// L1t. Masks of training runs.
//
// Note [Masks that carry the routing]
// Where a module is not routed a run takes the target's W x. As all masks 1
// with Delta 1 are the target, routing is a matter of masks: with the bit rho
// of a position,
//   m' = rho m + (1 - rho),  d' = rho d + (1 - rho)
// and with Note [A masked weight as three sums] a module writes
//   y = d' W x + sum_c (m'_c - d') a_c U_c + bias,  m' - d' = rho (m - d):
// neither Delta nor a second product, and the slopes in V and U are those that
// pass through Delta too. Where neither Delta nor routing is at work W is not
// multiplied at all.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/decomposition_spec.h"
#include "models/torch/train/draws.h"
#include "models/train/train_config.h"

namespace spar::models {

struct ModuleMask {
  at::Tensor factors = {};  // m' - d', [rows or 1, C]; undefined: all 1
  at::Tensor deltas = {};   // d', [rows or 1, 1]; undefined: 0
};

struct RunMasks {
  std::vector<bool> which = {};          // [module]: replaced in the run
  std::vector<ModuleMask> modules = {};  // [module]
};

// rho of every module, [rows, 1] of 0 and 1; undefined: 1 everywhere.
// kLayerwise is no routing within a run: nothing is drawn.
std::vector<at::Tensor> DrawRouting(const Routing& routing,
                                    const DrawKey& key,
                                    size_t num_modules,
                                    int64_t rows,
                                    at::Device device);

// `only`: the one module that the run replaces; -1: all. `g`: importances of
// each module, [rows, C].
// m = 1, no Delta.
RunMasks UnmaskedMasks(size_t num_modules);
// m = g, no Delta.
RunMasks ImportanceMasks(const std::vector<at::Tensor>& g,
                         const std::vector<at::Tensor>& routing,
                         int only);
// m = g + (1 - g) r with r uniform, or under kBinomial 0 or 1 alike; d uniform
// where `use_delta`, else no Delta.
RunMasks StochasticMasks(const std::vector<at::Tensor>& g,
                         const std::vector<at::Tensor>& routing,
                         int only,
                         MaskSampling sampling,
                         bool use_delta,
                         const DrawKey& key);

// What an adversary chooses for one module, in [0, 1].
struct ModuleSources {
  at::Tensor masks = {};   // s, [rows or 1, C]
  at::Tensor deltas = {};  // d, [rows or 1, 1]; undefined: no Delta
};
// m = g + (1 - g) s, differentiable in both.
RunMasks AdversarialMasks(const std::vector<at::Tensor>& g,
                          const std::vector<at::Tensor>& routing,
                          int only,
                          const std::vector<ModuleSources>& sources);

}  // namespace spar::models
