// L1. A decomposition of the fake model, in closed form.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "models/importances.h"
#include "models/row.h"

namespace spar::models {

// Note [The fake decomposition]
// One module, "fake.<layer>.mlp.up", in every layer. The activation of
// subcomponent c of layer l at a token is a number in (-1, 1) that depends on
// (seed, l, c, token) alone, and its causal importance is the activation, or 0
// where that is negative. So half of them are alive anywhere.
class FakeDecomposition {
 public:
  FakeDecomposition(const std::string& name,
                    const std::string& weights_digest,
                    int num_layers,
                    int width,
                    int num_neurons,
                    int num_components,
                    uint64_t seed);

  const DecompositionInfo& info() const { return info_; }
  float Activation(int layer, int component, TokenId token) const;
  PromptImportances Run(std::span<const TokenId> tokens,
                        const ImportanceOptions& options) const;

 private:
  const uint64_t seed_;
  DecompositionInfo info_ = {};
};

}  // namespace spar::models
