// L1. A decomposition of the fake model, in closed form.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "models/fake_model.h"
#include "models/importances.h"
#include "models/row.h"

namespace spar::models {

// Note [The fake decomposition]
// One module, "fake.<layer>.mlp.up", in every layer. The activation of
// subcomponent c of layer l at a token is a number in (-1, 1) that depends on
// (seed, l, c, token) alone, and its causal importance is the activation, or 0
// where that is negative. So half of them are alive anywhere.
//
// Their effect on the model is a direction o of the stream each, and fades with
// the distance to the readout: with the mask m and the reference r,
//   (m - 1) (a - r) / (1 + distance) o
// is added before the neurons of the layer, summed over the kept positions, and
// for Delta likewise as if it were the subcomponent after the last. So all
// masks 1 is the plain model. The mean reference of each is its mean activation
// over all tokens of the reference prompts.
//
// Immutable.
class FakeDecomposition {
 public:
  FakeDecomposition(const std::string& name,
                    const std::string& weights_digest,
                    int num_layers,
                    int width,
                    int num_neurons,
                    int num_components,
                    uint64_t seed,
                    std::span<const std::vector<TokenId>> reference_prompts);

  const DecompositionInfo& info() const { return info_; }
  float Activation(int layer, int component, TokenId token) const;
  PromptImportances Run(std::span<const TokenId> tokens,
                        const ImportanceOptions& options) const;

  // FakeRun::shifts of a run under masks of the prompt's space.
  std::vector<FakeVector> Shifts(const Prompt& prompt,
                                 const IndexSet& positions,
                                 std::span<const float> masks) const;
  // d(smooth margin)/d(mask) from /d(shift).
  std::vector<float> Gradient(const Prompt& prompt,
                              const IndexSet& positions,
                              const std::vector<FakeVector>& of_shifts) const;

 private:
  int num_components() const {
    return info_.spec.modules.front().num_components;
  }
  // Calls visit(id, layer, component, effect) for every subcomponent and Delta
  // at every kept position: where the mask is m its layer's shift has
  // (m - 1) * effect of its direction.
  template <typename Visit>
  void ForEach(const Prompt& prompt,
               const IndexSet& positions,
               const Visit& visit) const;

  const uint64_t seed_;
  DecompositionInfo info_ = {};
  // [layer][subcomponent, then Delta]
  std::vector<std::vector<FakeVector>> directions_ = {};
  std::vector<std::vector<double>> means_ = {};
};

}  // namespace spar::models
